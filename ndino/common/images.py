"""Image files: the errors and the size limit that every reader shares, and an image's identity by content."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

from PIL import Image

# What Pillow raises for a file that is no image, for a truncated one, and for a decompression bomb. The last
# five come from decoders: RuntimeError from damaged AVIF files, MemoryError for a size that does not fit.
BROKEN_IMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    Image.DecompressionBombError,
    RuntimeError,
    MemoryError,
    OverflowError,
    EOFError,
    struct.error,
)

# The paper's training script raises Pillow's limit to this number of pixels. Pillow warns above it, and
# refuses files of more than twice as many as decompression bombs.
MAX_IMAGE_PIXELS = 933_120_000


def header_size(path: Path) -> tuple[int, int]:
    """(height, width) of an image in pixels, from its header: nothing is decoded.

    The limit is `MAX_IMAGE_PIXELS`, as for every reader of training images.

    Raises:
        BROKEN_IMAGE: the file is missing or not an image, or has too many pixels.
    """
    Image.MAX_IMAGE_PIXELS = MAX_IMAGE_PIXELS
    with Image.open(path) as image:
        return image.height, image.width


# Stored answers and perplexity logs are keyed by these digests: another size or hash would orphan them.
DIGEST_BYTES = 16


def image_digest(encoded: bytes) -> str:
    """Identity of an image by the content of its file, as 32 hexadecimal digits.

    The same pixels in another encoding have another digest; see `pixel_digest`.
    """
    return hashlib.blake2b(encoded, digest_size=DIGEST_BYTES).hexdigest()


def pixel_digest(image: Image.Image) -> str:
    """Identity of a decoded image by its mode, size and pixels, as 32 hexadecimal digits."""
    content = hashlib.blake2b(f"{image.mode}{image.size}".encode(), digest_size=DIGEST_BYTES)
    content.update(image.tobytes())
    return content.hexdigest()
