"""An image of a row: found and read; `ndino.common.images` decodes it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ndino.common.errors import reason_of, shown
from ndino.common.images import ImageFaultError, UnreadableImageError, find_file, missing_image
from ndino.formats.questions.rows import StoredImage

# Why there is no image, where a row names none.
EMPTY = "image is empty"
_ENDINGS = (".jpg", ".jpeg", ".png", ".webp")


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
        raise ImageFaultError(EMPTY, "name an image, or remove the row")
    if not isinstance(value, str):
        raise ImageFaultError(
            f"image is {shown(repr(value))}, neither an image nor a file's name",
            "prepare the data as the task's README says",
        )
    for folder in folders:
        if (found := find_file(folder / value)) is not None:
            return found
    raise ImageFaultError(*missing_image(value, folders[0] if folders else Path()))


def encoded(value: Any, folders: Sequence[Path]) -> bytes:
    """An image's value as it is stored; see `locate` and `read`, whose errors it raises."""
    return read(locate(value, folders))


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
        raise UnreadableImageError(reason_of(error)) from error
