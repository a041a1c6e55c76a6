"""The second check: whether two images that a perceptual hash takes for alike show the same, part by part.

A perceptual hash sees the coarse layout, which two exam sheets or two signs have in common. Here one image
is first laid over the other, since a copy may be cropped. Then blocks of pixels are compared without the
means of their rows and columns: these hold the layout (lines, borders), the rest holds letters and textures.

Two sums that differ in a digit agree in almost all blocks. In smaller blocks the digit stands out:
compression and size change all blocks of much contrast about alike, and a digit changes one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.float32]

SKETCH = 128  # pixels a side, in grey
BLOCKS = 8  # a side
# A block counts from this share of the strongest one's contrast, and from so many of 255: below, what
# compression leaves decides how it correlates.
CONTRAST, LEAST_CONTRAST = 0.15, 1.5
CORRELATION = 0.55  # a block agrees from here on
FEWEST_BLOCKS = 3  # with contrast: in fewer there is too little to see
# Of a copy, at least NEAR of the blocks agree. Below POSSIBLE the images are different ones.
NEAR, POSSIBLE = 0.95, 0.75
# Of the small blocks with this share of the strongest one's contrast, one that correlates less than LEAST, or
# that lacks OUTLIER times as much to 1 as four fifths of them lack at most, shows something else. Of copies
# it lacks up to 4 times as much, of sheets with one other digit 8 times or more.
SMALL_BLOCKS, MUCH_CONTRAST = 16, 0.4  # a side
LEAST, OUTLIER = 0.33, 6.0
_OTHERS, _LACKS = 0.8, 0.01  # of equal blocks it would be a share of nothing
# At half the size the overlay is coarser; images of which fewer blocks correlate are different ones.
_DIFFERENT, _HALF_CORRELATION = 0.3, 0.4
_SMALL = 32  # pixels a side of the first search
_STEPS = {_SMALL: 3, SKETCH // 2: 4, SKETCH: 3}  # of the refinement, by pixels a side
_EDGE = 2  # pixels of the smallest size: a crop has none for the other image's border
_CROPS = (-0.05, -0.025, 0.0, 0.025, 0.05)  # of a side's length
_TINY = 1e-6


def sketch(image: Image.Image) -> bytes:
    """What `Sketch` compares: the image in grey, 128 x 128 pixels, a byte each."""
    return image.convert("L").resize((SKETCH, SKETCH), Image.Resampling.LANCZOS).tobytes()


@dataclass(frozen=True)
class _Axis:
    """Where the second image's centre lies in the first, from -1 to 1, and how much the second shows."""

    offset: float
    scale: float

    def moved(self, offset: float, scale: float) -> _Axis:
        """After a small move in the second image's own coordinates."""
        return _Axis(
            float(np.clip(self.offset + self.scale * offset, -0.15, 0.15)),
            float(np.clip(self.scale * (1 + scale), 0.85, 1.18)),
        )

    def sampling(self, side: int) -> tuple[Pixels, slice]:
        """The matrix (side x side) that takes the second's pixels from the first, and which lie in it."""
        source = side / 2 * (1 + self.offset + self.scale * _centres(side)) - 0.5
        low = np.clip(np.floor(source), 0, side - 2).astype(int)
        share = np.clip(source - low, 0, 1)
        matrix = np.zeros((side, side), dtype=np.float32)
        rows = np.arange(side)
        matrix[rows, low], matrix[rows, low + 1] = 1 - share, share
        inside = np.flatnonzero((source >= 0) & (source <= side - 1))
        return matrix, slice(int(inside[0]), int(inside[-1]) + 1)


# A crop takes from the first image's sides or, below 0, from the second's.
_AXES = [_Axis(low - high, 1 - low - high) for low in _CROPS for high in _CROPS if abs(low + high) < 0.06]
_PLACES = [(vertical, horizontal) for vertical in _AXES for horizontal in _AXES]


class Agreement(NamedTuple):
    """What a comparison finds.

    Attributes:
        share: the share of blocks in which both show the same; None if they are too plain to tell.
        differs: whether a small block stands out as another, such as a digit.
    """

    share: float | None
    differs: bool


class Sketch:
    """An image that is compared with others."""

    def __init__(self, content: bytes) -> None:
        pixels = np.frombuffer(content, dtype=np.uint8).reshape(SKETCH, SKETCH).astype(np.float32)
        self._sizes: dict[int, Pixels] = {side: _shrunk(pixels, side) for side in _STEPS}

    def agreement(self, other: Sketch) -> Agreement:
        """How far both show the same, wherever one is cropped."""
        vertical, horizontal = _PLACES[int((self._cropped @ other._core).argmax())]
        agreeing, differs = None, False
        for side, steps in _STEPS.items():
            first, second = self._sizes[side], other._sizes[side]
            for _ in range(steps):
                vertical, horizontal = _refined(first, second, vertical, horizontal)
            if side > _SMALL:
                overlaid = _overlaid(first, second, vertical, horizontal)
                limit = CORRELATION if side == SKETCH else _HALF_CORRELATION
                agreeing = _agreeing(*overlaid, side // BLOCKS, limit)
                if agreeing is not None and agreeing < _DIFFERENT:
                    break
                differs = side == SKETCH and agreeing is not None and _differs(*overlaid)
        return Agreement(agreeing, differs)

    @cached_property
    def _cropped(self) -> Pixels:
        """The smallest size at each of `_PLACES`, a row of length 1 each."""
        taken = np.stack([axis.sampling(_SMALL)[0][_EDGE:-_EDGE] for axis in _AXES])
        across = self._sizes[_SMALL] @ taken.transpose(0, 2, 1)  # axes x 32 x 28
        both = taken[:, None] @ across[None]  # axes x axes x 28 x 28
        return _unit(both.reshape(len(_PLACES), -1))

    @cached_property
    def _core(self) -> Pixels:
        return _unit(self._sizes[_SMALL][_EDGE:-_EDGE, _EDGE:-_EDGE].reshape(-1))


def _shrunk(pixels: Pixels, side: int) -> Pixels:
    each = len(pixels) // side
    return pixels.reshape(side, each, side, each).mean(axis=(1, 3))


def _unit(rows: Pixels) -> Pixels:
    rows = rows - rows.mean(axis=-1, keepdims=True)
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), _TINY)


def _centres(side: int) -> NDArray[np.float64]:
    return (np.arange(side) + 0.5) * 2 / side - 1


def _overlaid(first: Pixels, second: Pixels, vertical: _Axis, horizontal: _Axis) -> tuple[Pixels, Pixels]:
    """The part that both show: of the first as the second shows it, and of the second."""
    down, rows = vertical.sampling(len(first))
    across, columns = horizontal.sampling(len(first))
    return down[rows] @ first @ across[columns].T, second[rows, columns]


def _refined(first: Pixels, second: Pixels, vertical: _Axis, horizontal: _Axis) -> tuple[_Axis, _Axis]:
    """One step of Gauss and Newton towards the least difference, whatever the brightness and contrast."""
    side = len(first)
    down, rows = vertical.sampling(side)
    across, columns = horizontal.sampling(side)
    moved = down[rows] @ first @ across[columns].T
    shown = second[rows, columns]
    gain = (shown.std() + _TINY) / (moved.std() + _TINY)
    error = (shown - shown.mean()) - gain * (moved - moved.mean())
    scale = gain * side / 2
    falling, rising = np.gradient(moved)
    y = _centres(side)[rows].astype(np.float32)[1:-1, None]
    x = _centres(side)[columns].astype(np.float32)[None, 1:-1]
    falling, rising = falling[1:-1, 1:-1] * scale, rising[1:-1, 1:-1] * scale
    slopes = np.stack([falling, falling * y, rising, rising * x]).reshape(4, -1)
    curvature = (slopes @ slopes.T).astype(np.float64)
    # A plain image, or lines in one direction, leave a direction open: stay.
    curvature += np.eye(4) * (1e-3 * curvature.trace() / 4 + _TINY)
    step = np.linalg.solve(curvature, slopes @ error[1:-1, 1:-1].reshape(-1))
    return vertical.moved(step[0], step[1]), horizontal.moved(step[2], step[3])


def _agreeing(first: Pixels, second: Pixels, block: int, limit: float) -> float | None:
    energy, correlation = _compared(first, second, block)
    contrasted = energy > max(CONTRAST**2 * energy.max(), LEAST_CONTRAST**2)
    if contrasted.sum() < FEWEST_BLOCKS:
        return None
    return float((correlation[contrasted] >= limit).mean())


def _differs(first: Pixels, second: Pixels) -> bool:
    block, lacking = SKETCH // SMALL_BLOCKS, []
    # Also half a block further: what lies on an edge is in the middle there.
    for start in (0, block // 2):
        energy, correlation = _compared(first[start:, start:], second[start:, start:], block)
        lacking.append(1 - correlation[energy > MUCH_CONTRAST**2 * energy.max()])
    lacks = np.concatenate(lacking)
    usual = max(float(np.quantile(lacks, _OTHERS)), _LACKS)
    return bool(lacks.max() > min(OUTLIER * usual, 1 - LEAST))


def _compared(first: Pixels, second: Pixels, block: int) -> tuple[Pixels, Pixels]:
    """The greater energy of each two blocks, and how they correlate."""
    blocks = [_details(pixels, block) for pixels in (first, second)]
    energies = [(pixels * pixels).mean(axis=(1, 3)) for pixels in blocks]
    scale = np.maximum(np.sqrt(energies[0] * energies[1]), _TINY)
    return np.maximum(*energies), (blocks[0] * blocks[1]).mean(axis=(1, 3)) / scale


def _details(pixels: Pixels, block: int) -> Pixels:
    """Blocks (down, rows, across, columns) without the means of their rows and columns."""
    down, across = pixels.shape[0] // block, pixels.shape[1] // block
    blocks = pixels[: down * block, : across * block].reshape(down, block, across, block)
    blocks = blocks - blocks.mean(axis=1, keepdims=True)
    return blocks - blocks.mean(axis=3, keepdims=True)
