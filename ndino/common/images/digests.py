"""Identities of images: by the content of their file, and by their pixels."""

from __future__ import annotations

import hashlib

from PIL import Image

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


def image_sha256(image: Image.Image) -> str:
    """Identity of a decoded image by its size and RGB pixels, as 64 hexadecimal digits.

    The same for the same pixels in another encoding or mode; sample logs hold it, so it must not change.
    """
    content = hashlib.sha256(f"{image.width}x{image.height}\n".encode())
    content.update(image.convert("RGB").tobytes())
    return content.hexdigest()
