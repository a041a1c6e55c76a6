"""Image files: the errors and the size limit that every reader shares, and an image's identity by content."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

from PIL import Image, ImageFile

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

# The remedy for any of these, in every command's messages.
REPLACE_IMAGE = "copy the image again, or remove the row"

LONGEST_NAME = 255  # bytes that file systems take
# How a data URL begins, and JPEG, PNG, GIF and WebP in base64.
_EMBEDDED = ("data:", "/9j/", "iVBORw0KGgo", "R0lGOD", "UklGR")

# Stored answers and perplexity logs are keyed by these digests: another size or hash would orphan them.
DIGEST_BYTES = 16


def set_reading_rules() -> None:
    """Set how Pillow reads images: its size limit, and that a truncated one is an error.

    Before every read, since both are settings of the process that other libraries change: lmms-eval lets
    truncated images pass as whole ones.
    """
    Image.MAX_IMAGE_PIXELS = MAX_IMAGE_PIXELS
    ImageFile.LOAD_TRUNCATED_IMAGES = False


def header_size(path: Path) -> tuple[int, int]:
    """(height, width) of an image in pixels, from its header: nothing is decoded.

    The limit is `MAX_IMAGE_PIXELS`, as for every reader of training images.

    Raises:
        BROKEN_IMAGE: the file is missing or not an image, or has too many pixels.
    """
    set_reading_rules()
    with Image.open(path) as image:
        return image.height, image.width


def is_embedded(name: str) -> bool:
    """Whether the name of an image that is no file is the image itself, in base64 or as a data URL."""
    return len(name) > LONGEST_NAME or name.startswith(_EMBEDDED)


def missing_image(name: str, folder: Path) -> tuple[str, str]:
    """What is wrong with a row whose image ``name`` is no file in ``folder``, and the remedy.

    An image in place of its name is not repeated: it would fill the screen.
    """
    if is_embedded(name):
        return (
            f"image holds {len(name):,} characters of data in place of a file name",
            f"save the image as a file in {folder}, and write the file's name into the row",
        )
    return f"image {name} is not in {folder}", "copy it there or correct the image folder"


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
