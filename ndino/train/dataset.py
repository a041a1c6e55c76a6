"""Training samples: a row of the index with the tiles of its images, read when the sample is asked for."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import TypedDict

import numpy as np
import torch
from transformers import LlavaNextProcessor

from ndino.common.images import WHITE, Colour
from ndino.train.images import ImageError, Tiles, open_image, tile_anyres, tile_square
from ndino.train.rows.encoding import EncodedRow
from ndino.train.rows.index import RowIndex

logger = logging.getLogger(__name__)


class TrainingSample(TypedDict):
    """A row to train on.

    Attributes:
        row: its number in the data file.
        input_ids, labels: int64 ``(tokens,)``; an image is one id.
        tiles: one per image.
    """

    row: int
    input_ids: torch.Tensor
    labels: torch.Tensor
    tiles: list[Tiles]


class ConversationDataset(torch.utils.data.Dataset):
    """The usable rows of a stage's data, as `TrainingSample`.

    Args:
        divide_all: whether several images of a row are divided into tiles too (`Recipe.divides_all_images`).

    Attributes:
        lengths: int32 ``(rows,)``, tokens of each sample with its images' features counted.
        damaged: uint8 ``(rows,)``, 1 for each row whose image turned out to be damaged when it was read, and
            which another row replaces. In shared memory: the loader's workers write to it.
    """

    def __init__(
        self,
        index: RowIndex,
        image_folder: Path,
        processor: LlavaNextProcessor,
        background: Colour = WHITE,
        *,
        divide_all: bool = False,
    ) -> None:
        self.index = index
        self.image_folder = image_folder
        self.processor = processor
        self.background = background
        self.divide_all = divide_all
        self.damaged = torch.zeros(len(index), dtype=torch.uint8).share_memory_()

    @property
    def lengths(self) -> np.ndarray:
        return self.index.lengths

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, position: int) -> TrainingSample:
        # An image can have an intact header and be cut off further in, or be gone since it was indexed. The
        # next usable row is used instead, as upstream does: every rank still gets its number of samples. How
        # many rows may be replaced is limited by `ndino.train.rows.damage`.
        for attempt in range(len(self)):
            place = (position + attempt) % len(self)
            if self.damaged[place]:
                continue
            row = self.index[place]
            try:
                tiles = self.tiles_of(row)
            except ImageError as error:
                self.damaged[place] = 1
                logger.warning("row %d: %s; using the next usable row instead", row.row, error)
                continue
            return TrainingSample(
                row=row.row,
                input_ids=torch.from_numpy(np.asarray(row.input_ids, dtype=np.int64)),
                labels=torch.from_numpy(np.asarray(row.labels, dtype=np.int64)),
                tiles=tiles,
            )
        raise ImageError(
            f"no row has a readable image in {self.image_folder} (remedy: copy the images again)"
        )

    def tiles_of(self, row: EncodedRow) -> list[Tiles]:
        """The tiles of a row's images; those that the length limit leaves out are not read.

        Raises:
            ImageError: an image cannot be read, or no longer has the size that it was indexed with.
        """
        tile = tile_anyres if len(row.images) == 1 or self.divide_all else tile_square
        found = []
        for name, size, tokens in zip(row.images, row.sizes, row.image_tokens, strict=False):
            tiles = tile(open_image(name, self.image_folder, self.background), self.processor)
            if tiles.size != size:
                raise ImageError(
                    f"image {name} has {tiles.size[1]} x {tiles.size[0]} pixels, and had "
                    f"{size[1]} x {size[0]} when the data were indexed "
                    "(remedy: put the old image back, or start the run again)"
                )
            found.append(dataclasses.replace(tiles, tokens=tokens))
        return found
