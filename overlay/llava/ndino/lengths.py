"""The true length of a sample in tokens, with each image counted as the features that it becomes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from llava.mm_utils import get_anyres_image_grid_shape
from llava.model.llava_arch import unpad_image
from llava.ndino.prompts import encode_source
from PIL import Image
from tqdm import tqdm

from ndino.formats.prompts import PromptError


def image_features(size: tuple[int, int], pinpoints: Sequence[Sequence[int]], tile: int, patch: int) -> int:
    """Features of an anyres image of ``size`` (width, height) in pixels under ``spatial_unpad``.

    The patches of the whole image, then those of the unpadded grid with a newline after each row. Computed by
    upstream's own functions, so that the rounding is the same.
    """
    columns, rows = get_anyres_image_grid_shape(size, list(pinpoints), tile)
    side = tile // patch
    grid = unpad_image(torch.empty((1, rows * side, columns * side), device="meta"), size)
    return side * side + grid.shape[1] * (grid.shape[2] + 1)


def square_features(tile: int, patch: int) -> int:
    """Features of one of several images of a sample: a single padded tile and a newline."""
    return (tile // patch) ** 2 + 1


def true_lengths(dataset, *, tile: int, patch: int, limit: int) -> list[int]:
    """Tokens of each row of a ``LazySupervisedDataset``, at most ``limit``.

    Taken from ``lengths.npy`` beside the rows where `ndino.llava_next.engine` has written it, so that no rank
    tokenises the data or opens images again.

    ``tile`` and ``patch`` are the tower's image and patch size in pixels. A row that cannot be used counts as
    one token; the dataset replaces it when it is reached.
    """
    known = Path(dataset.data_args.data_path).with_name("lengths.npy")
    if known.is_file() and len(lengths := np.load(known)) == len(dataset.list_data_dict):
        return lengths.tolist()
    pinpoints = dataset.data_args.image_grid_pinpoints
    folder = dataset.data_args.image_folder

    def length(row: dict) -> int:
        try:
            ids = encode_source(row["conversations"], dataset.tokenizer).input_ids
            images = row.get("image", [])
            images = [images] if isinstance(images, str) else images
            if len(images) > 1:
                features = len(images) * square_features(tile, patch)
            else:
                features = sum(
                    image_features(_size(os.path.join(folder, image)), pinpoints, tile, patch)
                    for image in images
                )
        except (PromptError, OSError, ValueError):
            return 1
        return min(limit, len(ids) - len(images) + features)

    rows = dataset.list_data_dict
    return [length(row) for row in tqdm(rows, desc="Measuring samples", unit=" rows", leave=False)]


def _size(path: str) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size
