"""Images to tiles of the vision tower's size, and the number of tokens that an image takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import LlavaNextProcessor
from transformers.image_processing_utils import get_patch_output_size, select_best_resolution
from transformers.image_utils import ChannelDimension

from ndino.common.errors import UserError
from ndino.common.images import WHITE, Colour, ImageFaultError, open_named


class ImageError(UserError):
    """An image that cannot be used; the message names it and the reason."""


@dataclass(frozen=True)
class Tiles:
    """One image, ready for the vision tower.

    Attributes:
        pixels: float32 ``(tiles, 3, side, side)``: the whole image first, then the grid's tiles row by row.
        size: the original (height, width) in pixels.
        tokens: features that the image becomes, with an ``image_newline`` after each row of them; fewer
            where the length limit cuts through the image.
    """

    pixels: torch.Tensor
    size: tuple[int, int]
    tokens: int


def open_image(name: str, folder: Path, background: Colour = WHITE) -> Image.Image:
    """Read the image ``name``, as a row names it, as RGB.

    Raises:
        ImageError: the file is missing, damaged or not an image, or has too many pixels.
    """
    try:
        return open_named(name, folder, background)
    except ImageFaultError as error:
        raise ImageError(f"{error.reason} (remedy: {error.remedy})") from error


def tile_anyres(image: Image.Image, processor: LlavaNextProcessor) -> Tiles:
    """Tile a sample's only image: the whole image, and its tiles on the best grid (LLaVA-NeXT's anyres).

    The pixels are bit for bit those of transformers' image processor, at a fraction of its time: it resizes
    every tile again to the size that it has, and goes through float64 for each pixel.

    Args:
        image: in mode RGB.
    """
    image_processor = processor.image_processor
    side = image_processor.crop_size["height"]
    resample = Image.Resampling(int(image_processor.resample))
    size = (image.height, image.width)
    rows, columns = select_best_resolution(size, image_processor.image_grid_pinpoints)
    # The function takes an array, and reads no more of it than its shape.
    shape_only = np.broadcast_to(np.uint8(0), (3, *size))
    height, width = get_patch_output_size(shape_only, (rows, columns), ChannelDimension.FIRST)
    grid = Image.new("RGB", (columns, rows))  # black where the image does not reach
    grid.paste(image.resize((width, height), resample), ((columns - width) // 2, (rows - height) // 2))
    whole = np.asarray(image.resize((side, side), resample))
    parts = np.asarray(grid).reshape(rows // side, side, columns // side, side, 3).swapaxes(1, 2)
    tiles = np.concatenate([whole[None], parts.reshape(-1, side, side, 3)])
    return Tiles(_normalised(tiles, image_processor), size, anyres_tokens(*size, processor))


def _normalised(tiles: np.ndarray, image_processor: Any) -> torch.Tensor:
    """uint8 ``(tiles, side, side, 3)`` to what the tower takes, float32 ``(tiles, 3, side, side)``."""
    mean = np.array(image_processor.image_mean, dtype=np.float32)
    std = np.array(image_processor.image_std, dtype=np.float32)
    # The processor multiplies in float64 and rounds to float32. For all 256 values of a byte, one division in
    # float32 gives the same; tests/train/test_images.py compares them.
    whole = np.float32(round(1 / image_processor.rescale_factor))
    pixels = np.empty((len(tiles), 3, *tiles.shape[1:3]), dtype=np.float32)
    for index, tile in enumerate(tiles):
        for channel in range(3):
            plane = pixels[index, channel]  # one at a time: it stays in the processor's cache
            plane[...] = tile[..., channel]
            plane /= whole
            plane -= mean[channel]
            plane /= std[channel]
    return torch.from_numpy(pixels)


def anyres_tokens(height: int, width: int, processor: LlavaNextProcessor) -> int:
    """Features of a sample's only image, of this size in pixels, with its newlines."""
    side = processor.image_processor.crop_size["height"]
    # The processor's count includes the class token, which is dropped.
    return (
        processor._get_number_of_features(height, width, side, side) - processor.num_additional_image_tokens
    )


def square_tokens(processor: LlavaNextProcessor) -> int:
    """Features of one of several images of a sample, whatever its size."""
    patches = processor.image_processor.crop_size["height"] // processor.patch_size
    # A single tile is not a grid: its features get one image_newline at the end, not one a row.
    return patches * patches + 1


def tile_square(image: Image.Image, processor: LlavaNextProcessor) -> Tiles:
    """Tile one of several images of a sample: padded to a square and resized to a single tile.

    Upstream does the same (``image_aspect_ratio`` "pad" for lists of images, in
    ``LazySupervisedDataset._get_item`` of ``llava/train/train.py``).
    """
    image_processor = processor.image_processor
    side = image_processor.crop_size["height"]
    background = tuple(int(channel * 255) for channel in image_processor.image_mean)
    longest = max(image.size)
    square = Image.new("RGB", (longest, longest), background)
    square.paste(image, ((longest - image.width) // 2, (longest - image.height) // 2))
    single = np.asarray(square.resize((side, side), Image.Resampling(int(image_processor.resample))))
    pixels = _normalised(single[None], image_processor)
    return Tiles(pixels, (image.height, image.width), square_tokens(processor))
