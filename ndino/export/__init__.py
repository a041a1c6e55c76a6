"""Upstream LLaVA-NeXT checkpoints as Hugging Face LLaVA-NeXT folders.

Both name the same weights differently, and upstream keeps image grids as (width, height) where Hugging Face
wants (height, width).

Known difference: upstream cuts the padding off an image's features after rounding the kept side down, and
Hugging Face first rounds the last digits of the floating-point product away (``int(x)`` against
``int(round(x, 7))``). Where the product should be whole but comes out a hair below, as for 748x352 pixels
under the paper's grids, Hugging Face keeps a row or column of features that upstream cuts: 1,848 against
1,800 image tokens. That concerns 6 of the 183,184 sizes from 336x336 to 763x763. It cannot be mended in the
weights, and training on such an image and scoring it differ by that much.
"""

from ndino.export.converter import convert
from ndino.export.errors import ConversionError

__all__ = ["ConversionError", "convert"]
