"""An image of a row: found, read and decoded; a truncated one is an error, as in training."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps, UnidentifiedImageError

from ndino.common.errors import reason_of, shown
from ndino.common.images import BROKEN_IMAGE, missing_image, set_reading_rules
from ndino.formats.questions.rows import StoredImage

UNREADABLE = "image cannot be read"
_ENDINGS = (".jpg", ".jpeg", ".png", ".webp")


class ImageFaultError(ValueError):
    """An image that cannot be used; ``reason`` and ``remedy`` are without a file and row."""

    def __init__(self, reason: str, remedy: str = "copy the image again, or remove the row") -> None:
        super().__init__(reason)
        self.reason, self.remedy = reason, remedy


def image_files(folder: Path) -> list[Path]:
    """The image files below ``folder``, known by how their names end, sorted."""
    return [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in _ENDINGS]


def locate(value: Any, folders: Sequence[Path]) -> Path | bytes:
    """The file that an image's value names, or the bytes that it holds; nothing is opened.

    Args:
        value: a file's name, bytes, or both as ``{"bytes": ..., "path": ...}``, as `datasets` stores it.
        folders: where names are looked up.

    Raises:
        ImageFaultError: there is no such file, or the value is something else.
    """
    if isinstance(value, StoredImage):
        value = value.read()
    if isinstance(value, dict) and set(value) <= {"bytes", "path"}:
        content, name = value.get("bytes"), value.get("path")
        value = name if content is None else content
        if content is not None and not isinstance(content, bytes):
            raise ImageFaultError("image holds bytes as text", "save the image as a file and name it")
    if isinstance(value, bytes):
        return value
    if value is None or value == "":
        raise ImageFaultError("image is empty", "name an image, or remove the row")
    if not isinstance(value, str):
        raise ImageFaultError(
            f"image is {shown(repr(value))}, neither an image nor a file's name",
            "prepare the data as the task's README says",
        )
    for folder in folders:
        if _is_file(folder / value):
            return folder / value
    raise ImageFaultError(*missing_image(value, folders[0] if folders else Path()))


def read(place: Path | bytes) -> bytes:
    """The encoded image that `locate` found.

    Raises:
        ImageFaultError: the file cannot be read.
    """
    if isinstance(place, bytes):
        return place
    try:
        return place.read_bytes()
    except OSError as error:
        raise ImageFaultError(f"{UNREADABLE}: {reason_of(error)}") from error


def decode(encoded: bytes) -> Image.Image:
    """The whole image, upright by its EXIF orientation, in RGB.

    Raises:
        ImageFaultError: it is no image, or a damaged or truncated one.
    """
    # lmms-eval lets truncated images pass for the whole process.
    set_reading_rules()
    try:
        with Image.open(io.BytesIO(encoded)) as image:
            return ImageOps.exif_transpose(image).convert("RGB")
    except UnidentifiedImageError as error:
        # Pillow's message has an address in memory, which differs in every run.
        raise ImageFaultError(f"{UNREADABLE}: it is no image") from error
    except BROKEN_IMAGE as error:
        raise ImageFaultError(f"{UNREADABLE}: {reason_of(error)}") from error


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except PermissionError:
        raise
    except (OSError, ValueError):  # too long a name, such as an image in base64, or one with a null byte
        return False
