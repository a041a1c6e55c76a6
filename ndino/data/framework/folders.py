"""Read finished data folders, whether the source commands and `mix` wrote them or somebody else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ndino.common.errors import reason_of
from ndino.common.files import sha256_of
from ndino.common.options import need_folder
from ndino.common.parsing import read_json
from ndino.data.errors import DataError
from ndino.data.framework.layout import DATA, IMAGES, MANIFEST, REJECTS

# The packages whose versions a manifest records.
PACKAGES = ("ctranslate2", "datasets", "pillow", "pyarrow", "pypdfium2", "pytesseract", "sentencepiece")
PACKAGES += ("torch", "transformers")
CHANGED = f"does not match {MANIFEST}: it was changed or is torn"


@dataclass(frozen=True)
class DataFolder:
    """A folder with ``data.jsonl`` and ``images/``; ``manifest`` is None if no command of ours wrote it."""

    path: Path
    manifest: dict[str, Any] | None

    @property
    def name(self) -> str:
        return self.path.resolve().name

    @property
    def lang(self) -> str | None:
        """The language of its rows; None where no manifest says it, or where they are in several."""
        lang = (self.manifest or {}).get("lang")
        return lang if isinstance(lang, str) else None

    @property
    def data(self) -> Path:
        return self.path / DATA

    @property
    def images(self) -> Path:
        return self.path / IMAGES


def open_folder(path: Path) -> DataFolder:
    """Open a finished folder.

    Raises:
        UsageError: it does not exist.
        DataError: it is not finished, or its manifest is broken, or gone: nothing else says its language.
    """
    need_folder(path, "name a data folder")
    if not (path / DATA).is_file():
        begun = (path / "shards").is_dir()
        remedy = f"finish its command, or: ndino data merge {path}" if begun else "name a data folder"
        raise DataError(f"{path}: no {DATA} in it (remedy: {remedy})")
    folder = DataFolder(path, read_manifest(path))
    if folder.manifest is None and ((path / "shards").is_dir() or (path / REJECTS).is_file()):
        raise DataError(f"{path / MANIFEST}: no such file (remedy: {way_back(path)})")
    return folder


def read_manifest(path: Path) -> dict[str, Any] | None:
    """The manifest of the folder ``path``, or None if it has none.

    Raises:
        DataError: the manifest is broken.
    """
    file = path / MANIFEST
    if not file.is_file():
        return None
    try:
        manifest = read_json(file)
        _ = manifest["files"], manifest["rows"]["sources"]  # KeyError if one is missing
    except ValueError as error:
        raise DataError(f"{file}: broken, {reason_of(error)} (remedy: rebuild the folder)") from error
    except (KeyError, TypeError) as error:
        raise DataError(
            f"{file}: broken, no manifest of a data folder (remedy: rebuild the folder)"
        ) from error
    return manifest


def changed_files(path: Path, manifest: dict[str, Any]) -> list[str]:
    """The files of a finished folder that are missing, or are not those that its manifest was written for."""
    return [
        name
        for name, digest in manifest["files"].items()
        if not (path / name).is_file() or sha256_of(path / name) != digest
    ]


def refuse_changed(folder: DataFolder, digest: str) -> None:
    """Raise DataError if ``digest``, the SHA-256 of the folder's rows, is not the one in its manifest."""
    if folder.manifest and folder.manifest["files"].get(DATA) != digest:
        raise DataError(f"{folder.data}: {CHANGED} (remedy: {way_back(folder.path)})")


def way_back(path: Path) -> str:
    """How to get the rows of a finished folder back: its shards have them all; a mix has no shards."""
    if (path / "shards").is_dir():
        return f"ndino data merge {path}"
    return "the command that made it, with another --out"


def images_of(row: dict[str, Any]) -> list[str]:
    """The image paths of a row, as written there."""
    image = row.get("image")
    return [image] if isinstance(image, str) else list(image or ())


def one_or_all(values: Iterable[Any]) -> Any:
    """The one value that all folders of a mix share, a sorted list if they differ, None if there is none.

    A folder that is a mix itself may have a list.
    """
    lists = (value if isinstance(value, list) else [value] for value in values if value is not None)
    distinct = sorted({value for some in lists for value in some})
    return distinct[0] if len(distinct) == 1 else distinct or None
