"""ZeRO checkpoints for another number of ranks, by DeepSpeed's universal checkpoints; native engine only."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from ndino.common.files import atomic_folder, write_text
from ndino.train.stage import StageError

SUFFIX = "_universal"
POINTER = "latest_universal"  # DeepSpeed reads the folder's name from it
# The converter is a process of its own: it starts others, which a rank with a GPU must not.
WORKERS = min(8, os.cpu_count() or 1)
LAUNCHER = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def make_universal(checkpoint: Path) -> None:
    """Add to a ZeRO checkpoint its state by parameter, from which any number of ranks reads its part.

    It takes as much disk again (12 bytes a trained weight) until the checkpoint is removed. Only one rank may
    call this.

    Raises:
        StageError: DeepSpeed cannot convert it.
    """
    (source,) = (path for path in checkpoint.glob("global_step*") if not path.name.endswith(SUFFIX))
    made = source.with_name(f"{source.name}{SUFFIX}")
    if not made.exists():
        with atomic_folder(made) as partial:
            _convert(source, partial)
    write_text(checkpoint / POINTER, made.name)


def _convert(source: Path, folder: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in LAUNCHER}
    command = [sys.executable, "-m", "deepspeed.checkpoint.ds_to_universal", "--inject_missing_state"]
    command += ["--input_folder", str(source), "--output_folder", str(folder)]
    command += ["--num_extract_workers", str(WORKERS), "--num_merge_workers", str(WORKERS)]
    done = subprocess.run(
        command,
        env=environment | {"DS_ACCELERATOR": "cpu", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        raise StageError(
            f"{source}: DeepSpeed cannot convert it for another number of ranks: {lines[-1]} (remedy: resume "
            "on the number of ranks that wrote it)"
        )
