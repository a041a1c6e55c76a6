"""Which checkpoints are complete: only those may be resumed from. For both engines and any number of ranks.

A kill can come while a rank is still writing, a scratch disk may be cleaned later, and a node that dies can
leave a file of the right size full of zeros. So a finished checkpoint gets a list of its files with their
sizes and checksums, written last; without the list, or with a file missing or of another size, a checkpoint
does not count, and one whose files have other contents is set aside before it would be read.

The checksum has to be quick (`ndino.common.checksums`): it is computed over the 117 GB of an 8B run.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ndino.common.checksums import checksums
from ndino.common.files import follow_umask, write_json
from ndino.train.resuming.distribution import Distribution, inferred

# In a checkpoint: its files, {"files": {name: {"bytes": 7, "crc32": 1}}, "written_by": {"kind": "zero3",
# "ranks": 8}}. An earlier version wrote {name: bytes}.
COMPLETE = "whole.json"
TRAINED = "trained.safetensors"  # in a checkpoint of a model with frozen weights: the others, and no more
PROGRESS = "progress.json"  # beside the checkpoints: how far training has got
DAMAGED = "damaged-"  # put before the name of a checkpoint that is set aside


def newest_complete_checkpoint(folder: Path) -> Path | None:
    """The checkpoint to resume a run from, by its files' sizes; None if no checkpoint of it is complete."""
    whole = {step: path for step, path in checkpoints_of(folder).items() if is_complete(path)}
    return whole[max(whole)] if whole else None


def remove_incomplete_checkpoints(folder: Path) -> None:
    """Remove checkpoints that are not complete, and set damaged ones aside; only one rank may call this.

    Contents are compared from the newest checkpoint backwards until one is sound.
    """
    for path in checkpoints_of(folder).values():
        if not is_complete(path):
            shutil.rmtree(path)
    passed_over = False
    while (newest := newest_complete_checkpoint(folder)) is not None and (damaged := damaged_files(newest)):
        passed_over = True
        aside = newest.with_name(f"{DAMAGED}{newest.name}")
        shutil.rmtree(aside, ignore_errors=True)
        # Kept, because its weights may be sound; under a name that neither engine resumes from.
        os.replace(newest, aside)
        others = f" and {len(damaged) - 1} more" if len(damaged) > 1 else ""
        print(
            f"{newest}: its content is not what was written ({damaged[0]}{others}): passed over, renamed to "
            f"{aside.name} (remove it when you do not need it)",
            flush=True,
        )
    if passed_over:
        print(
            f"{folder}: {f'resuming from {newest.name}' if newest else 'no other checkpoint: starting over'}"
        )


def mark_complete(checkpoint: Path) -> None:
    """Declare a checkpoint complete with the files that are in it now."""
    follow_umask(checkpoint)
    paths = sorted(path for path in checkpoint.rglob("*") if path.is_file() and path.name != COMPLETE)
    names = [str(path.relative_to(checkpoint)) for path in paths]
    files = {
        name: {"bytes": path.stat().st_size, "crc32": crc}
        for name, path, crc in zip(names, paths, checksums(paths), strict=True)
    }
    content = {"files": files, "written_by": asdict(inferred(checkpoint))}
    write_json(checkpoint / COMPLETE, content)


def unmark(checkpoint: Path) -> None:
    """Declare that a checkpoint is not to be resumed from; the next start removes it."""
    (checkpoint / COMPLETE).unlink(missing_ok=True)


def is_complete(checkpoint: Path) -> bool:
    """Whether the checkpoint was finished and still has all its files, in their sizes.

    Raises:
        OSError: a file may not be read, or the disk fails: then it is not known.
    """
    try:
        return all(
            (checkpoint / name).stat().st_size == file["bytes"] for name, file in _listed(checkpoint).items()
        )
    except (FileNotFoundError, NotADirectoryError, ValueError, AttributeError, TypeError, KeyError):
        return False


def damaged_files(checkpoint: Path) -> list[str]:
    """Names of a complete checkpoint's files whose contents are not those that were written."""
    wanted = {name: file["crc32"] for name, file in _listed(checkpoint).items() if "crc32" in file}
    found = checksums([checkpoint / name for name in wanted])
    return [name for name, crc in zip(wanted, found, strict=True) if crc != wanted[name]]


def written_by(checkpoint: Path) -> Distribution:
    """How the ranks that wrote a complete checkpoint shared the model."""
    content = json.loads((checkpoint / COMPLETE).read_text(encoding="utf-8"))
    record = content.get("written_by")
    return Distribution(**record) if isinstance(record, dict) else inferred(checkpoint)


def _listed(checkpoint: Path) -> dict[str, dict[str, Any]]:
    content = json.loads((checkpoint / COMPLETE).read_text(encoding="utf-8"))
    if "files" in content and isinstance(content["files"], dict):
        return content["files"]
    return {name: {"bytes": size} for name, size in content.items()}


def step_of(checkpoint: Path | None) -> int:
    """The step after which a checkpoint was written; 0 for None."""
    return int(checkpoint.name.removeprefix("checkpoint-")) if checkpoint else 0


def checkpoints_of(folder: Path) -> dict[int, Path]:
    """All checkpoint folders of a run by step, complete or not."""
    found = ((re.fullmatch(r"checkpoint-(\d+)", path.name), path) for path in folder.glob("checkpoint-*"))
    return {int(match[1]): path for match, path in found if match}
