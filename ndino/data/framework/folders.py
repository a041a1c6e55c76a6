"""Finished data folders, as the source commands and `mix` leave them, or as somebody else made them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ndino.data.errors import DataError
from ndino.data.framework.layout import DATA, IMAGES, MANIFEST

# Whose versions a manifest names.
PACKAGES = ("ctranslate2", "datasets", "pillow", "pyarrow", "pypdfium2", "pytesseract", "sentencepiece")
PACKAGES += ("torch", "transformers")


@dataclass(frozen=True)
class DataFolder:
    """A folder with ``data.jsonl`` and ``images/``; ``manifest`` is None where somebody else made it."""

    path: Path
    manifest: dict[str, Any] | None

    @property
    def name(self) -> str:
        return self.path.resolve().name

    @property
    def data(self) -> Path:
        return self.path / DATA

    @property
    def images(self) -> Path:
        return self.path / IMAGES


def open_folder(path: Path) -> DataFolder:
    """Open a finished folder.

    Raises:
        DataError: it is not there or not finished, or its manifest is broken.
    """
    if not (path / DATA).is_file():
        begun = (path / "shards").is_dir()
        remedy = f"finish its command, or: ndino data merge {path}" if begun else "name a data folder"
        raise DataError(f"{path}: no {DATA} in it (remedy: {remedy})")
    return DataFolder(path, read_manifest(path))


def read_manifest(path: Path) -> dict[str, Any] | None:
    """The manifest of the folder ``path``, None where there is none.

    Raises:
        DataError: it is broken.
    """
    file = path / MANIFEST
    if not file.is_file():
        return None
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
        manifest["files"], manifest["rows"]["sources"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file}: broken, {error!r} (remedy: make the folder anew)") from error
    return manifest


def images_of(row: dict[str, Any]) -> list[str]:
    """The images that a row names, as written."""
    image = row.get("image")
    return [image] if isinstance(image, str) else list(image or ())


def leaves_the_folder(image: str) -> bool:
    """Whether a row's image names a file outside the image folder."""
    path = PurePosixPath(image)
    return path.is_absolute() or ".." in path.parts


def one_or_all(values: Iterable[Any]) -> Any:
    """What folders say of themselves, for a mix of them: the one thing that all say, or a list."""
    distinct = sorted({value for value in values if value is not None})
    return distinct[0] if len(distinct) == 1 else distinct or None
