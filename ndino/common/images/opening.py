"""Opens an image: one rule of what can be read, one limit of pixels, upright, in RGB; for every command."""

from __future__ import annotations

import io
import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError
from PIL.PngImagePlugin import PngImageFile

from ndino.common.errors import reason_of, remedy_for
from ndino.common.images.pixels import WHITE, Colour, to_rgb

# Part of the keys of everything that is kept of pixels. Raise it when another image comes out of a file.
READING_VERSION = 2

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

# The paper's training script raises Pillow's limit to this number of pixels. Larger images are refused.
MAX_IMAGE_PIXELS = 933_120_000

# What images are published as, by Pillow's names: the sources of data take these, and the other commands too.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM")

# The remedy for any of these, in every command's messages.
REPLACE_IMAGE = "copy the image again, or remove the row"
UNREADABLE = "image cannot be read"
_SCALE = "scale it down, or remove the row"

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_QUARTER_TURNS = {_TURNS[value] for value in (5, 6, 7, 8)}
_PILLOW = re.compile("PIL")
_BYTES = re.compile(r" \(\d+ bytes .*\)$")  # as in "image file is truncated (78 bytes not processed)"
_NO_WARNING = ("ignore", None, Warning, _PILLOW, 0)
_SEVERAL_IN_ONE = ("MPO", "ICO", "ICNS")  # their other images show the same, smaller or from beside
_HEAD = 1024  # bytes of a file by which it is told what else it is
_TAIL = 65536  # bytes at the end of a PNG in which EXIF is looked for


class ImageFaultError(ValueError):
    """An image that cannot be used; ``reason`` and ``remedy`` are without a file and row."""

    def __init__(self, reason: str, remedy: str = REPLACE_IMAGE) -> None:
        super().__init__(reason)
        self.reason, self.remedy = reason, remedy


class UnreadableImageError(ImageFaultError):
    """A file that is no image, or a damaged or too large one.

    Attributes:
        why: the reason without ``UNREADABLE``.
        kind: the same without numbers of bytes, so that equal faults can be counted.
    """

    def __init__(self, why: str, remedy: str = REPLACE_IMAGE) -> None:
        super().__init__(f"{UNREADABLE}: {why}", remedy)
        self.why = why
        self.kind = _BYTES.sub("", why)


def set_reading_rules() -> None:
    """Set how Pillow reads images: its size limit, that a truncated one is an error, and without warnings.

    Before every read, since these are settings of the process that other libraries change: lmms-eval lets
    truncated images pass as whole ones. What Pillow warns of, such as a tag that it skips, is either an error
    of ours or nothing that a user could act on, as the warning names no file.
    """
    Image.MAX_IMAGE_PIXELS = MAX_IMAGE_PIXELS
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    if _NO_WARNING not in warnings.filters:
        warnings.filterwarnings("ignore", module=_PILLOW.pattern)


def read_image(source: Path | bytes, background: Colour = WHITE) -> Image.Image:
    """The whole image in RGB, upright by its EXIF orientation; of several frames, the first.

    Args:
        source: a file, or the content of one.
        background: what shows where the image is transparent.

    Raises:
        UnreadableImageError: it is no image, a damaged or truncated one, or too large.
    """
    with opened_image(source) as image:
        turn = turn_of(image)
        shown = to_rgb(image, background)
    return shown if turn is None else shown.transpose(turn)


def image_size(source: Path | bytes) -> tuple[int, int]:
    """(height, width) in pixels of what `read_image` gives, from the header: nothing is decoded.

    Raises:
        UnreadableImageError: the file is missing or not an image, or has too many pixels.
    """
    with opened_image(source) as image:
        quarter = turn_of(image) in _QUARTER_TURNS
        width, height = image.size
    return (width, height) if quarter else (height, width)


def has_several_frames(source: Path | bytes) -> bool:
    """Whether the file is an animation or has several pages; `read_image` gives the first.

    Raises:
        UnreadableImageError: as `image_size`.
    """
    with opened_image(source) as image:
        return image.format not in _SEVERAL_IN_ONE and getattr(image, "is_animated", False)


@contextmanager
def opened_image(
    source: Path | bytes, formats: tuple[str, ...] | None = None, max_pixels: int = MAX_IMAGE_PIXELS
) -> Iterator[Image.Image]:
    """An image, opened as far as its header and within the limit; what fails inside is one kind of error.

    Args:
        source: a file, or the content of one.
        formats: those that are taken, by Pillow's names; None for all that Pillow reads.
        max_pixels: largest width times height.

    Raises:
        UnreadableImageError: it is no image or in another format, damaged, truncated or too large.
    """
    set_reading_rules()
    try:
        with Image.open(
            io.BytesIO(source) if isinstance(source, bytes) else source, formats=formats
        ) as image:
            if image.width * image.height > max_pixels:
                raise Image.DecompressionBombError
            yield image
    except UnreadableImageError:
        raise
    except UnidentifiedImageError as error:
        if formats is not None:
            with opened_image(source):  # says what else it is
                pass
            raise UnreadableImageError(
                "it is in a format that is not taken", "save it as JPEG or PNG"
            ) from error
        # Pillow's message has an address in memory, which differs in every run.
        raise UnreadableImageError(*_what_else(source)) from error
    except Image.DecompressionBombError as error:
        raise UnreadableImageError(f"it has more than {max_pixels:,} pixels", _SCALE) from error
    except MemoryError as error:
        raise UnreadableImageError("it does not fit into memory", _SCALE) from error
    except FileNotFoundError as error:
        raise UnreadableImageError("there is no such file") from error
    except BROKEN_IMAGE as error:
        raise UnreadableImageError(reason_of(error), remedy_for(error, REPLACE_IMAGE)) from error


def turn_of(image: Image.Image) -> Image.Transpose | None:
    """How the pixels have to be turned; to be asked before they are decoded."""
    if image.format == "TIFF":
        return None  # Pillow turns these itself, and says the size that they then have
    try:
        # Not PNG's own method, which decodes the image to see what comes after it.
        orientation = Image.Image.getexif(image).get(ExifTags.Base.Orientation)
        if orientation is None and isinstance(image, PngImageFile) and image.fp:
            orientation = _exif_at_the_end(image.fp).get(ExifTags.Base.Orientation)
    except Exception:  # Pillow's reader of EXIF has errors of every kind, and the pixels may be sound
        return None
    return _TURNS.get(orientation) if isinstance(orientation, int) else None


def _exif_at_the_end(file: IO[bytes]) -> Image.Exif:
    """EXIF that a PNG has behind its pixels, where some programs write it."""
    exif, place = Image.Exif(), file.tell()
    try:
        start = max(0, file.seek(0, io.SEEK_END) - _TAIL)
        file.seek(start)
        tail = file.read()
    finally:
        file.seek(place)
    at = tail.find(b"eXIf", 4)
    if at >= 4:
        end = at + 4 + int.from_bytes(tail[at - 4 : at], "big")
        # The same bytes could be part of the pixels.
        if tail[end : end + 4] == zlib.crc32(tail[at:end]).to_bytes(4, "big"):
            exif.load(tail[at + 4 : end])
    return exif


def _what_else(source: Path | bytes) -> tuple[str, str]:
    """Of a file that is no image: what it is, and the remedy."""
    head = source[:_HEAD] if isinstance(source, bytes) else _head_of(source)
    if not head:
        return "it is empty", REPLACE_IMAGE
    if head.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer", "fetch the images with git lfs pull"
    if head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"hevc", b"mif1"):
        return "it is HEIC, which is not read", "save it as JPEG or PNG"
    kind = _markup_kind(head)
    if kind == "SVG":
        return "it is SVG, a drawing without pixels", "save it as PNG"
    if kind == "HTML":
        return "it is HTML, not an image", REPLACE_IMAGE
    return "it is no image", REPLACE_IMAGE


def _head_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD)


def _markup_kind(content: bytes) -> str | None:
    """``SVG`` or ``HTML`` for what servers send in place of an image; None for anything else."""
    start = content[:_HEAD].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<svg", b"<?xml")) or b"<svg" in start:
        return "SVG"
    return "HTML" if start.startswith(b"<") else None
