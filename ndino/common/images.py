"""Image files: the errors and the size limit that every reader shares, and an image's identity by content."""

from __future__ import annotations

import hashlib

from PIL import Image

# What Pillow raises for a file that is no image, for a truncated one, and for a decompression bomb.
BROKEN_IMAGE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)

# The paper's training script raises Pillow's limit to this number of pixels; larger files count as bombs.
MAX_IMAGE_PIXELS = 933_120_000

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
