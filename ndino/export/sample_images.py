"""Draws the images on which a converted model is compared with upstream, for a tower's size and grids."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from transformers.image_processing_utils import select_best_resolution

# (width, height) in units of a tile's side. Chosen so that padding is removed on either axis, and so that
# swapped grid pinpoints make a difference; small images show that best (50x30 pixels with tiles of 336).
SHAPES = {"wide": (2.3, 0.8), "tall": (0.7, 2.1), "square": (1.5, 1.5), "small": (50 / 336, 30 / 336)}


def draw_images(side: int, pinpoints: Sequence[Sequence[int]], patch: int) -> dict[str, np.ndarray]:
    """RGB images by name, uint8 ``(height, width, 3)``, of sizes that both codes round to the same tokens.

    Args:
        side: side of a tile in pixels.
        pinpoints: grids as (height, width) in pixels.
        patch: side of a patch in pixels.
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
    """(columns, rows) of features that remain of an image's tiles after its padding is removed.

    ``rounded`` rounds the kept side: ``upstream`` or ``hugging_face``. After ``unpad_image`` in upstream's
    ``llava/model/llava_arch.py``.
    """
    high, wide = (n // patch for n in select_best_resolution((height, width), list(pinpoints)))
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
    # A gradient on each axis and noise: all tiles differ, and no symmetry could hide swapped axes.
    noise = np.random.default_rng(seed).uniform(0, 80, (height, width, 3))
    noise[..., 0] += np.linspace(0, 170, width)[None, :]
    noise[..., 1] += np.linspace(170, 0, height)[:, None]
    return noise.astype(np.uint8)
