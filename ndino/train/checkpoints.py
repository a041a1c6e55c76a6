"""Checkpoints that are whole or do not count, for both engines and any number of ranks."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from ndino.common.files import follow_umask, write_json

# Names and sizes of a checkpoint's files, written into it after everything else.
WHOLE = "whole.json"
PROGRESS = "progress.json"  # beside the checkpoints: how far training is


def newest_whole_checkpoint(folder: Path) -> Path | None:
    """The last checkpoint of a run that was written to its end and still has all its files."""
    whole = {step: path for step, path in checkpoints_of(folder).items() if is_whole(path)}
    return whole[max(whole)] if whole else None


def remove_torn_checkpoints(folder: Path) -> None:
    """Remove what a kill left half written, and what has lost a file since; for one rank alone to call."""
    for path in checkpoints_of(folder).values():
        if not is_whole(path):
            shutil.rmtree(path)


def mark_whole(checkpoint: Path) -> None:
    """Declare a checkpoint finished as it stands."""
    follow_umask(checkpoint)
    files = sorted(path for path in checkpoint.rglob("*") if path.is_file() and path.name != WHOLE)
    sizes = {str(path.relative_to(checkpoint)): path.stat().st_size for path in files}
    write_json(checkpoint / WHOLE, sizes)


def is_whole(checkpoint: Path) -> bool:
    """Whether every file that the checkpoint was finished with is there in its size."""
    try:
        sizes = json.loads((checkpoint / WHOLE).read_text(encoding="utf-8"))
        return all((checkpoint / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, AttributeError):
        return False


def step_of(checkpoint: Path | None) -> int:
    """The step after which a checkpoint was written; 0 for none."""
    return int(checkpoint.name.removeprefix("checkpoint-")) if checkpoint else 0


def checkpoints_of(folder: Path) -> dict[int, Path]:
    """Every checkpoint folder of a run by its step, whole or not."""
    found = ((re.fullmatch(r"checkpoint-(\d+)", path.name), path) for path in folder.glob("checkpoint-*"))
    return {int(match[1]): path for match, path in found if match}
