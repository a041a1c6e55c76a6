"""Which checkpoints are complete: only those may be resumed from. For both engines and any number of ranks.

A kill can come while a rank is still writing, and a scratch disk may be cleaned later. So a finished
checkpoint gets a list of its files and their sizes, written last; without the list, or with a file missing or
of another size, a checkpoint does not count.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from ndino.common.files import follow_umask, write_json

COMPLETE = "whole.json"  # in a checkpoint: sizes of its files by name, in bytes
PROGRESS = "progress.json"  # beside the checkpoints: how far training has got


def newest_complete_checkpoint(folder: Path) -> Path | None:
    """The checkpoint to resume a run from; None if no checkpoint of it is complete."""
    whole = {step: path for step, path in checkpoints_of(folder).items() if is_complete(path)}
    return whole[max(whole)] if whole else None


def remove_incomplete_checkpoints(folder: Path) -> None:
    """Remove checkpoints that are not complete; only one rank may call this."""
    for path in checkpoints_of(folder).values():
        if not is_complete(path):
            shutil.rmtree(path)


def mark_complete(checkpoint: Path) -> None:
    """Declare a checkpoint complete with the files that are in it now."""
    follow_umask(checkpoint)
    files = sorted(path for path in checkpoint.rglob("*") if path.is_file() and path.name != COMPLETE)
    sizes = {str(path.relative_to(checkpoint)): path.stat().st_size for path in files}
    write_json(checkpoint / COMPLETE, sizes)


def is_complete(checkpoint: Path) -> bool:
    """Whether the checkpoint was finished and still has all its files, in their sizes."""
    try:
        sizes = json.loads((checkpoint / COMPLETE).read_text(encoding="utf-8"))
        return all((checkpoint / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, AttributeError):
        return False


def step_of(checkpoint: Path | None) -> int:
    """The step after which a checkpoint was written; 0 for None."""
    return int(checkpoint.name.removeprefix("checkpoint-")) if checkpoint else 0


def checkpoints_of(folder: Path) -> dict[int, Path]:
    """All checkpoint folders of a run by step, complete or not."""
    found = ((re.fullmatch(r"checkpoint-(\d+)", path.name), path) for path in folder.glob("checkpoint-*"))
    return {int(match[1]): path for match, path in found if match}
