"""The image files that rows name: found, opened, and what is wrong with one in one form of words."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from PIL import Image

from ndino.common.errors import reason_of, remedy_for, shown
from ndino.common.images.opening import (
    ImageFaultError,
    UnreadableImageError,
    image_size,
    read_image,
)
from ndino.common.images.pixels import WHITE, Colour

LONGEST_NAME = 255  # bytes that file systems take
# How a data URL begins, and JPEG, PNG, GIF and WebP in base64.
_EMBEDDED = ("data:", "/9j/", "iVBORw0KGgo", "R0lGOD", "UklGR")


def open_named(name: str, folder: Path, background: Colour = WHITE) -> Image.Image:
    """The image ``name``, as a row names it, by `read_image`.

    Raises:
        ImageFaultError: it is not in the folder, or cannot be read; the reason names it.
    """
    path = find_image(name, folder)
    try:
        return read_image(path, background)
    except UnreadableImageError as error:
        raise _named(name, error) from error


def size_of_named(name: str, folder: Path) -> tuple[int, int]:
    """(height, width) of the image ``name`` from its header, by `image_size`; raises as `open_named`."""
    path = find_image(name, folder)
    try:
        return image_size(path)
    except UnreadableImageError as error:
        raise _named(name, error) from error


def _named(name: str, error: UnreadableImageError) -> ImageFaultError:
    return ImageFaultError(f"image {shown(name)} cannot be read: {error.why}", error.remedy)


def find_image(name: str, folder: Path) -> Path:
    """The file of the image ``name``, as a row names it; it is not opened.

    Raises:
        ImageFaultError: there is none, or it is outside the folder.
    """
    if leaves_the_folder(name) and not is_embedded(name):
        raise ImageFaultError(f"image {shown(name)} is outside the image folder", "copy it there")
    try:
        found = find_file(folder / name)
    except PermissionError as error:
        remedy = remedy_for(error, "copy it there")
        raise ImageFaultError(f"image {shown(name)}: {reason_of(error)}", remedy) from error
    if found is None:
        raise ImageFaultError(*missing_image(name, folder))
    return found


def find_file(path: Path) -> Path | None:
    """The file at ``path``, or the one whose name looks the same in another Unicode form; else None.

    macOS stores "è" as two characters (NFD), and most data name it as one (NFC).

    Raises:
        PermissionError: a folder may not be read.
    """
    if _succeeds(path.is_file):
        return path
    if str(path).isascii():
        return None
    found = Path(path.anchor)
    for part in path.parts[bool(path.anchor) :]:
        forms = (part, unicodedata.normalize("NFC", part), unicodedata.normalize("NFD", part))
        there = next((form for form in forms if _succeeds((found / form).exists)), None)
        if there is None:
            return None
        found /= there
    return found if _succeeds(found.is_file) else None


def _succeeds(look: Callable[[], bool]) -> bool:
    try:
        return look()
    except PermissionError:
        raise
    except (OSError, ValueError):  # too long a name, such as an image in base64, or one with a null byte
        return False


def leaves_the_folder(image: str) -> bool:
    """Whether the path of a row's image leads out of the image folder."""
    path = PurePosixPath(image)
    return path.is_absolute() or ".." in path.parts


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
    return (
        f"image {shown(name, LONGEST_NAME)} is not in {folder}",
        "copy it there or correct the image folder",
    )
