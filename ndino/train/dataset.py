"""Training samples from LLaVA JSON rows: ids, labels and tiles. Unusable rows are rejected with a reason."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm
from transformers import LlavaNextProcessor

from ndino.common.images import BROKEN_IMAGE
from ndino.formats.llava_json import Conversation, ConversationError, read_conversations
from ndino.formats.prompts import Encoded, PromptError, encode_llama3, encode_plain, truncate
from ndino.formats.recipes import Recipe
from ndino.train.images import ImageError, Tiles, open_image, tile_anyres, tile_square

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


@dataclass(frozen=True)
class TrainingRow:
    """A usable row as held in memory: row number in the file, image names, ids and labels ``(tokens,)``.

    The arrays are int32: lists of Python integers would take several times the memory.
    """

    row: int
    images: tuple[str, ...]
    input_ids: np.ndarray
    labels: np.ndarray


def encode(conversation: Conversation, tokenizer, recipe: Recipe) -> Encoded:
    """Encode a conversation in the recipe's prompt format, truncated to its ``max_length``.

    Raises:
        PromptError: the conversation cannot become a sample.
    """
    images = len(conversation.images)
    if recipe.prompt == "llama3":
        encoded = encode_llama3(tokenizer, conversation.turns, images=images, supervision=recipe.supervision)
    else:
        if [turn.role for turn in conversation.turns] != ["user", "assistant"]:
            raise PromptError(
                "the plain prompt takes a single question and answer, this conversation has several rounds"
            )
        encoded = encode_plain(
            tokenizer, conversation.turns[1].text, images=images, ending=recipe.plain_ending
        )
    return truncate(encoded, recipe.max_length)


def usable_rows(
    data: Path, image_folder: Path, tokenizer, recipe: Recipe, rejects: list[str]
) -> Iterator[tuple[Conversation, Encoded]]:
    """The rows of a LLaVA JSON(L) file that can be trained on; a line for each other goes to ``rejects``.

    Images are opened as far as their header.

    Raises:
        ConversationError: the file is not a list of rows.
        OSError: the file cannot be read.
    """
    unreadable: list[ConversationError] = []
    conversations = read_conversations(data, image_folder=image_folder, rejects=unreadable)
    for conversation in tqdm(conversations, desc=f"Reading {data.name}", unit=" rows", leave=False):
        try:
            encoded = encode(conversation, tokenizer, recipe)
            for image in conversation.images:
                _check_header(image_folder / image)
        except (PromptError, ImageError) as error:
            rejects.append(f"{data} row {conversation.row}: {error}")
        else:
            yield conversation, encoded
    rejects += [str(error) for error in unreadable]


class ConversationDataset(torch.utils.data.Dataset):
    """The usable rows of a LLaVA JSON(L) file; ``rejects`` has a line for each rejected row."""

    def __init__(self, data: Path, image_folder: Path, processor: LlavaNextProcessor, recipe: Recipe) -> None:
        self.data = data
        self.image_folder = image_folder
        self.processor = processor
        self.rejects: list[str] = []
        self.rows = [
            TrainingRow(
                conversation.row,
                conversation.images,
                np.array(encoded.input_ids, dtype=np.int32),
                np.array(encoded.labels, dtype=np.int32),
            )
            for conversation, encoded in usable_rows(
                data, image_folder, processor.tokenizer, recipe, self.rejects
            )
        ]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> TrainingSample:
        # An image can have an intact header and be cut off further in. The next row is used instead, as
        # upstream does: with a fixed number of steps, one bad file should not end a run of days.
        for attempt in range(len(self.rows)):
            row = self.rows[(index + attempt) % len(self.rows)]
            try:
                tiles = self._tiles(row.images)
            except ImageError as error:
                logger.warning("%s row %d: %s; using the next row instead", self.data, row.row, error)
                continue
            return TrainingSample(
                row=row.row,
                input_ids=torch.from_numpy(row.input_ids).long(),
                labels=torch.from_numpy(row.labels).long(),
                tiles=tiles,
            )
        raise ImageError(f"{self.data}: no row has a readable image in {self.image_folder}")

    def _tiles(self, images: Sequence[str]) -> list[Tiles]:
        tile = tile_anyres if len(images) == 1 else tile_square
        return [tile(open_image(self.image_folder / image), self.processor) for image in images]


def _check_header(path: Path) -> None:
    try:
        with Image.open(path) as image:
            image.size  # noqa: B018 - opening reads the header, and that is the check
    except BROKEN_IMAGE as error:
        raise ImageError(f"{path}: cannot be read as an image ({error})") from error
