"""Converts upstream LLaVA-NeXT checkpoints to Hugging Face's LLaVA-NeXT format.

The two formats name the same weights differently. Upstream stores image grids as (width, height), Hugging
Face as (height, width).

Known difference: when the padding of an image's features is removed, upstream computes the kept side as
``int(x)``, Hugging Face as ``int(round(x, 7))``. Where the floating-point product x should be a whole number
but is slightly smaller, Hugging Face keeps one more row or column on each side than upstream: 748x352 pixels
become 1,848 instead of 1,800 image tokens under the paper's grids. This happens for 6 of the 183,184 sizes
from 336x336 to 763x763. No conversion of weights can fix it.
"""
