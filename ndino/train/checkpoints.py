"""Checkpoints that are whole or do not count, for both engines and any number of ranks."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import torch.distributed as dist
from transformers import TrainerCallback, TrainingArguments

from ndino.files import write_json

# Names and sizes of a checkpoint's files, written into it after everything else.
WHOLE = "whole.json"


def newest_whole_checkpoint(folder: Path) -> Path | None:
    """The last checkpoint of a run that was written to its end and still has all its files."""
    whole = {step: path for step, path in _checkpoints(folder).items() if is_whole(path)}
    return whole[max(whole)] if whole else None


def remove_torn_checkpoints(folder: Path) -> None:
    """Remove what a kill left half written, and what has lost a file since; for one rank alone to call."""
    for path in _checkpoints(folder).values():
        if not is_whole(path):
            shutil.rmtree(path)


def mark_whole(checkpoint: Path) -> None:
    """Declare a checkpoint finished as it stands."""
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


class MarkWhole(TrainerCallback):
    """Marks each finished checkpoint, and only then removes the older ones.

    The Trainer's own ``save_total_limit`` would remove them before: a kill in between leaves none.
    """

    def __init__(self, keep: int) -> None:
        self.keep = keep

    def on_save(self, args: TrainingArguments, state, control, **options) -> None:
        # Every rank writes into the checkpoint: its random state at least, and its shard where it has one.
        if dist.is_initialized():
            dist.barrier()
        if not state.is_world_process_zero:
            return
        out = Path(args.output_dir)
        mark_whole(out / f"checkpoint-{state.global_step}")
        older = sorted(step for step in _checkpoints(out) if step < state.global_step)
        for step in older[: max(0, len(older) + 1 - self.keep)]:
            shutil.rmtree(out / f"checkpoint-{step}")


def _checkpoints(folder: Path) -> dict[int, Path]:
    found = ((re.fullmatch(r"checkpoint-(\d+)", path.name), path) for path in folder.glob("checkpoint-*"))
    return {int(match[1]): path for match, path in found if match}
