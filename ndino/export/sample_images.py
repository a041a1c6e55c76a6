"""The images on which both sides are compared, drawn for a tower's image size and grids."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from transformers.image_processing_utils import select_best_resolution

# Width and height in sides of a tile. Odd shares, so that padding is cut on both axes and swapped grids
# (which small images betray) show up; 50x30 pixels at 336.
SHAPES = {"wide": (2.3, 0.8), "tall": (0.7, 2.1), "square": (1.5, 1.5), "small": (50 / 336, 30 / 336)}


def draw_images(side: int, pinpoints: Sequence[Sequence[int]], patch: int) -> dict[str, np.ndarray]:
    """RGB images (height, width, 3), uint8, by name; sizes on which both sides round alike.

    Args:
        side: of a tile, in pixels.
        pinpoints: (height, width), in pixels.
        patch: side of a patch, in pixels.
    """
    return {
        name: _draw(*_rounding_alike(int(wide * side), int(high * side), pinpoints, patch), seed)
        for seed, (name, (wide, high)) in enumerate(SHAPES.items())
    }


def kept_features(
    width: int,
    height: int,
    pinpoints: Sequence[Sequence[int]],
    patch: int,
    *,
    rounded: Callable[[float], int],
) -> tuple[int, int]:
    """Columns and rows of features left of an image's tiles once the padding is cut off.

    ``rounded`` is how the kept side becomes whole: ``upstream`` or ``hugging_face``. Source: ``unpad_image``
    in upstream's ``llava/model/llava_arch.py``.
    """
    high, wide = (n // patch for n in select_best_resolution((height, width), pinpoints))
    if width / height > wide / high:
        cut = (high - rounded(height * (wide / width))) // 2
        return wide, high - 2 * cut
    cut = (wide - rounded(width * (high / height))) // 2
    return wide - 2 * cut, high


def upstream(value: float) -> int:
    """Upstream's rounding of the kept side."""
    return int(value)


def hugging_face(value: float) -> int:
    """Hugging Face's rounding of the kept side."""
    return int(round(value, 7))


def _rounding_alike(
    width: int, height: int, pinpoints: Sequence[Sequence[int]], patch: int
) -> tuple[int, int]:
    width, height = max(width, 2), max(height, 2)
    while kept_features(width, height, pinpoints, patch, rounded=upstream) != kept_features(
        width, height, pinpoints, patch, rounded=hugging_face
    ):
        width += 1
    return width, height


def _draw(width: int, height: int, seed: int) -> np.ndarray:
    # A slope on each axis and noise: no two tiles alike, no symmetry that would hide a swap.
    noise = np.random.default_rng(seed).uniform(0, 80, (height, width, 3))
    noise[..., 0] += np.linspace(0, 170, width)[None, :]
    noise[..., 1] += np.linspace(170, 0, height)[:, None]
    return noise.astype(np.uint8)
