"""What lies in a data folder, at work and finished; told here and nowhere else.

At work, in ``shards/``: a folder for each shard, which ends on `PARTIAL` until it is whole.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from ndino.data.errors import DataError

DATA, REJECTS, IMAGES, MANIFEST, CARD = "data.jsonl", "rejects.jsonl", "images", "manifest.json", "README.md"
MEMORY = "memory.sqlite"  # the translation memory, of a shard and of the whole
JOURNAL, DONE, BEGUN = "journal.jsonl", "done.json", "settings.json"
PARTIAL = ".partial"


def shard_folders(shards: Path) -> list[tuple[Path, int]]:
    """The folders of begun and of whole shards, each with the number of shards it is one of."""
    found = (
        (folder, re.fullmatch(r"\d{5}-of-(\d{5})(\.partial)?", folder.name)) for folder in shards.glob("*")
    )
    return sorted((folder, int(name[1])) for folder, name in found if name)


def remove_left_over(folder: Path, pattern: str = ".*.tmp") -> None:
    """Remove what `ndino.common.files.whole_file` of a killed run left in ``folder``."""
    for path in folder.glob(pattern):
        path.unlink(missing_ok=True)


def refuse_other_settings(shards: Path, settings: dict[str, Any], count: int) -> None:
    """Raise DataError if a shard in the folder ``shards`` was begun with other settings or another count."""
    for folder, its_count in shard_folders(shards):
        file = folder / (BEGUN if folder.suffix == PARTIAL else DONE)
        if not file.is_file():
            continue
        if its_count != count:
            raise DataError(
                f"{shards.parent}: holds shards of {its_count}, this is one of {count} "
                f"(remedy: --shard i/{its_count}, or another --out)"
            )
        found = json.loads(file.read_text(encoding="utf-8"))
        if folder.suffix != PARTIAL:
            found = found["settings"]
        differing = [key for key in {**found, **settings} if found.get(key) != settings.get(key)]
        if differing:
            there = "; ".join(f"{key} {found.get(key)!r}, now {settings.get(key)!r}" for key in differing)
            raise DataError(
                f"{shards.parent}: was begun with other settings: {there} "
                "(remedy: give the same ones, or another --out)"
            )
