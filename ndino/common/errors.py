"""Errors that a user can put right, what errors say, and which of them mean a broken image."""

from __future__ import annotations

from PIL import Image

# What Pillow raises for a file that is no image, a cut one, and one that would fill the memory.
BROKEN_IMAGE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)

# The paper's training script raises Pillow's limit to this number of pixels; larger files count as bombs.
MAX_IMAGE_PIXELS = 933_120_000


class UserError(ValueError):
    """Something that the user can put right: one line that says what is wrong, where, and the remedy."""


def reason_of(error: BaseException) -> str:
    """An error's message on one line, or its kind where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__
