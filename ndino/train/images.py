"""Images to tiles of the vision tower's size, and the number of tokens that an image takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from transformers import LlavaNextProcessor

from ndino.common.errors import UserError
from ndino.common.images import BROKEN_IMAGE, MAX_IMAGE_PIXELS


class ImageError(UserError):
    """An image that cannot be opened; the message names the file and the reason."""


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


def open_image(path: Path) -> Image.Image:
    """Read an image file as RGB.

    Raises:
        ImageError: the file is missing, damaged or not an image, or has too many pixels
            (``MAX_IMAGE_PIXELS``).
    """
    Image.MAX_IMAGE_PIXELS = MAX_IMAGE_PIXELS
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except FileNotFoundError:
        raise ImageError(f"{path}: no such image") from None
    except BROKEN_IMAGE as error:
        raise ImageError(f"{path}: cannot be read as an image ({error})") from error


def tile_anyres(image: Image.Image, processor: LlavaNextProcessor) -> Tiles:
    """Tile a sample's only image: the whole image, and its tiles on the best grid (LLaVA-NeXT's anyres)."""
    image_processor = processor.image_processor
    # Without padding to the largest number of tiles: batches concatenate tiles instead of stacking images.
    pixels = image_processor(image, return_tensors="pt", do_pad=False)["pixel_values"][0]
    size = (image.height, image.width)
    return Tiles(torch.as_tensor(pixels), size, anyres_tokens(*size, processor))


def anyres_tokens(height: int, width: int, processor: LlavaNextProcessor) -> int:
    """Features of a sample's only image, of this size in pixels, with its newlines."""
    side = processor.image_processor.crop_size["height"]
    # The processor's count includes the class token, which the "default" strategy drops.
    return processor._get_number_of_features(height, width, side, side) - 1


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
    single = square.resize((side, side), Image.Resampling(int(image_processor.resample)))
    pixels = image_processor(
        single,
        return_tensors="pt",
        do_resize=False,
        do_center_crop=False,
        image_grid_pinpoints=[[side, side]],
    )["pixel_values"][0][:1]
    return Tiles(torch.as_tensor(pixels), (image.height, image.width), square_tokens(processor))
