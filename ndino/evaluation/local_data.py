"""Finds a split's files in a plain folder of JSONL, JSON or Parquet files without a README that names them.

A folder in the hub's layout (a ``README.md`` whose ``configs:`` names files and splits) needs none of this:
``datasets`` reads it by itself. In any other folder the file of a split is ``SPLIT.jsonl``, or
``SPLIT-00000-of-00002.parquet``, possibly in ``data/``, or simply the only file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ndino.evaluation.errors import SetupError

# File ending -> the name of the reader in `datasets`.
READERS = {".jsonl": "json", ".json": "json", ".json.gz": "json", ".parquet": "parquet"}


def is_hub_layout(folder: Path) -> bool:
    """Whether a README names the files of each split."""
    readme = folder / "README.md"
    return readme.is_file() and "configs:" in readme.read_text(encoding="utf-8", errors="replace")


def files_of(folder: Path, split: str) -> tuple[str, list[Path]]:
    """The reader and the files of a split in a plain folder.

    Raises:
        SetupError: there is no file; or several, none of them named after the split; or a row is no JSON.
    """
    found = [path for path in sorted([*folder.glob("*"), *folder.glob("data/*")]) if _ending(path)]
    named = [path for path in found if _stem(path) == split or _stem(path).startswith(f"{split}-")]
    chosen = named or found
    if not chosen:
        raise SetupError(f"{folder}: has no .jsonl or .parquet file (remedy: as the task's README says)")
    if not named and len(found) > 1:
        names = ", ".join(path.name for path in found[:5])
        raise SetupError(
            f"{folder}: which of {names} is the split {split}? (remedy: name it {split}.jsonl or .parquet)"
        )
    readers = {READERS[_ending(path)] for path in chosen}
    if len(readers) > 1:
        raise SetupError(
            f"{folder}: holds the split {split} twice, as JSON and as Parquet (remedy: keep one)"
        )
    for path in chosen:
        if path.suffix == ".jsonl":
            _check_rows(path)
    return readers.pop(), chosen


def changes(folder: Path, split: str) -> dict[str, Any]:
    """Fields that replace those of a task's YAML, so that lmms-eval reads the split from a plain folder.

    Raises:
        SetupError: see `files_of`.
    """
    reader, files = files_of(folder, split)
    data_files = {split: [str(path.resolve()) for path in files]}
    return {"dataset_path": reader, "dataset_name": None, "dataset_kwargs": {"data_files": data_files}}


def _ending(path: Path) -> str:
    return next((ending for ending in READERS if path.name.endswith(ending)), "")


def _stem(path: Path) -> str:
    return path.name.removesuffix(_ending(path))


def _check_rows(path: Path) -> None:
    # `datasets` would name neither the row nor the reason.
    rows = 0
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                value = json.loads(line) if line.strip() else {}
                rows += bool(value)
            except ValueError as error:
                raise SetupError(
                    f"{path} row {number}: broken JSON: {error} (remedy: repair or remove it)"
                ) from error
            if not isinstance(value, dict):
                raise SetupError(f"{path} row {number}: is no JSON object (remedy: repair or remove it)")
    if not rows:
        raise SetupError(f"{path}: holds no rows (remedy: as the task's README says)")
