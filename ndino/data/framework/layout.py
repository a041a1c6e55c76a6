"""The names of the files in a data folder, unfinished and finished.

``shards/`` has a folder per shard, whose name ends in `PARTIAL` until the shard is complete.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from ndino.data.errors import DataError

DATA, REJECTS, IMAGES, MANIFEST, CARD = "data.jsonl", "rejects.jsonl", "images", "manifest.json", "README.md"
MEMORY = "memory.sqlite"  # the translation memory, of a shard and of the merged folder
JOURNAL, DONE, BEGUN = "journal.jsonl", "done.json", "settings.json"
PARTIAL = ".partial"


def shard_folders(shards: Path) -> list[tuple[Path, int]]:
    """The folders of unfinished and complete shards, each with the total number of shards in its name."""
    found = (
        (folder, re.fullmatch(r"\d{5}-of-(\d{5})(\.partial)?", folder.name)) for folder in shards.glob("*")
    )
    return sorted((folder, int(name[1])) for folder, name in found if name)


def remove_left_over(folder: Path, pattern: str = ".*.tmp") -> None:
    """Remove the temporary files that a killed run left in ``folder``."""
    for path in folder.glob(pattern):
        path.unlink(missing_ok=True)


def refuse_other_settings(shards: Path, settings: dict[str, Any], count: int) -> None:
    """Raise DataError if a shard in ``shards`` was started with other settings or another shard count."""
    for folder, its_count in shard_folders(shards):
        file = folder / (BEGUN if folder.suffix == PARTIAL else DONE)
        if not file.is_file():
            continue
        if its_count != count:
            raise DataError(
                f"{shards.parent}: has {its_count} shards, this run expects {count} "
                f"(remedy: --shard i/{its_count}, or another --out)"
            )
        found = json.loads(file.read_text(encoding="utf-8"))
        if folder.suffix != PARTIAL:
            found = found["settings"]
        differing = [key for key in {**found, **settings} if found.get(key) != settings.get(key)]
        if differing:
            there = "; ".join(f"{key} {found.get(key)!r}, now {settings.get(key)!r}" for key in differing)
            raise DataError(
                f"{shards.parent}: was started with other settings: {there} "
                "(remedy: use the same settings, or another --out)"
            )
