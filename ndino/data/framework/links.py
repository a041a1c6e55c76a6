"""Images of one data folder in another: hard links where the file system allows them, else copies."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ndino.common.files import atomic_file, sha256_of
from ndino.data.errors import DataError


def link_image(origin: Path, target: Path, where: str) -> None:
    """Make ``target`` a hard link to ``origin``, or a copy on another disk.

    Raises:
        DataError: ``origin`` is missing.
    """
    if not origin.is_file():
        raise DataError(
            f"{where}: {origin} does not exist (remedy: ndino data check lists all missing images)"
        )
    if same_content(origin, target):
        return
    target.unlink(missing_ok=True)  # of a start before the image was changed
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(origin.resolve(), target)
    except OSError:  # other file system, or no hard links
        with atomic_file(target) as temporary:
            shutil.copyfile(origin, temporary)


def same_content(one: Path, other: Path) -> bool:
    """Whether ``other`` is a file with the bytes of ``one``."""
    if not other.is_file():
        return False
    return one.samefile(other) or (
        one.stat().st_size == other.stat().st_size and sha256_of(one) == sha256_of(other)
    )
