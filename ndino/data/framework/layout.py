"""The names of the files in a data folder, unfinished and finished.

``shards/`` has a folder per shard, whose name ends in `PARTIAL` until the shard is complete.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ndino.common.errors import reason_of
from ndino.common.files import sha256_of
from ndino.common.parsing import read_json
from ndino.data.errors import DataError

DATA, REJECTS, IMAGES, MANIFEST, CARD = "data.jsonl", "rejects.jsonl", "images", "manifest.json", "README.md"
MEMORY = "memory.sqlite"  # the translation memory, of a shard and of the merged folder
JOURNAL, DONE, BEGUN = "journal.jsonl", "done.json", "settings.json"
PARTIAL = ".partial"
SHOWN = 5  # differences of settings that are named
# The setting that numbers the rules by which texts are accepted; folders of before there was one have 1.
GUARDS = "guards"


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


def refuse_other_settings(shards: Path, settings: dict[str, Any], count: int, *, retry: bool = False) -> None:
    """Raise DataError if a shard in ``shards`` was started with other settings or another shard count.

    With ``retry``, the folders among its inputs may be others.
    """
    for folder, its_count in shard_folders(shards):
        found = settings_of(folder)
        if found is None:
            continue
        if its_count != count:
            raise DataError(
                f"{shards.parent}: has {its_count} shards, this run expects {count} "
                f"(remedy: --shard i/{its_count}, or another --out)"
            )
        if found.get(GUARDS, 1) != settings.get(GUARDS, 1):
            remedy = "another --out"
            if (folder / MEMORY).is_file():
                remedy += f", with {MEMORY}: docs/data/translation.md"
            raise DataError(
                f"{shards.parent}: was made under {GUARDS} of version {found.get(GUARDS, 1)}, these are "
                f"version {settings.get(GUARDS, 1)}: other texts would pass now (remedy: {remedy})"
            )
        if differing := _differing(found, settings, retry=retry):
            remedy = "use the same settings, or another --out"
            if not retry and not _differing(found, settings, retry=True):
                remedy += "; --retry-rejects keeps the rows that there are, and tries the rejects again"
            more = f"; and {len(differing) - SHOWN} more" if len(differing) > SHOWN else ""
            raise DataError(
                f"{shards.parent}: was started with other settings: {'; '.join(differing[:SHOWN])}{more} "
                f"(remedy: {remedy})"
            )


def settings_of(shard: Path) -> dict[str, Any] | None:
    """The settings that the shard in this folder was started with, or None if they were never written."""
    file = shard / (BEGUN if shard.suffix == PARTIAL else DONE)
    if not file.is_file():
        return None
    found = record_of(file)
    return found if shard.suffix == PARTIAL else found["settings"]


def record_of(file: Path) -> dict[str, Any]:
    """What the file `BEGUN` or `DONE` of a shard says.

    Raises:
        DataError: it is broken.
    """
    try:
        return read_json(file)
    except ValueError as error:
        raise DataError(
            f"{file}: broken JSON: {reason_of(error)} (remedy: remove {file.parent} and run the source again)"
        ) from error


def refuse_torn(shard: Path) -> None:
    """Raise DataError if the journal of a complete shard is not the one that it was completed with."""
    done = record_of(shard / DONE)
    if sha256_of(shard / JOURNAL) != done["sha256"]:
        index, _, count = shard.name.partition("-of-")
        raise DataError(
            f"{shard / JOURNAL}: torn: its hash differs from {DONE} "
            f"(remedy: remove {shard} and run the source again with --shard {int(index)}/{int(count)})"
        )


def may_change(one: dict[str, Any]) -> bool:
    """Whether an input is a folder (`ndino.data.io.inputs`), which may be another one in a retry."""
    return "files" in one


def _differing(found: dict[str, Any], settings: dict[str, Any], *, retry: bool) -> list[str]:
    """What differs between two settings, in words."""
    was, now = (_compared(one, retry=retry) for one in (found, settings))
    return [
        f"{key} {was.get(key)!r}, now {now.get(key)!r}"
        for key in {**was, **now}
        if was.get(key) != now.get(key)
    ]


def _compared(settings: dict[str, Any], *, retry: bool) -> dict[str, Any]:
    """The settings with a key for each input; of the folders of earlier starts, the last one counts."""
    inputs = settings.get("inputs") or []
    files = [one for one in inputs if not may_change(one)]
    by_file = {f"input {number} ({one['file']})": _short(one) for number, one in enumerate(files, start=1)}
    folders = [one for one in inputs if may_change(one)][-1:]
    # By content alone: a folder that was moved or renamed is the same.
    last = {} if retry or not folders else {"folder of inputs": _short(folders[0])}
    return {key: value for key, value in settings.items() if key != "inputs"} | by_file | last


def _short(one: dict[str, Any]) -> str:
    count = f"{one['files']:,} files, " if may_change(one) else ""
    return count + str(one.get("sha256", f"{one.get('size')} bytes"))[:16]
