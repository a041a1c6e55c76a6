"""Opens images in upstream's data loader as every other command of ours does (``ndino.common.images``)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ndino.common.images import Colour, find_file, read_image


@dataclass(frozen=True)
class ImageModule:
    """Stands for Pillow's module ``Image`` in ``process_image``, which uses ``open`` and ``new`` of it.

    Attributes:
        background: what shows where an image is transparent.
    """

    background: Colour

    new = staticmethod(Image.new)

    def open(self, path: str) -> Image.Image:
        """The image in RGB, upright and whole; raises `ndino.common.images.UnreadableImageError`."""
        return read_image(find_file(Path(path)) or Path(path), self.background)


def image_module(data_args) -> ImageModule:
    """What upstream opens images with: ``--background`` is the recipe's, such as ``255,255,255``."""
    red, green, blue = map(int, data_args.background.split(","))
    return ImageModule((red, green, blue))
