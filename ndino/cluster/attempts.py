"""The attempts of a run: for every start its job, nodes and first checkpoint, kept beside the run.

SLURM may start, stop and restart a run several times. ``job.json`` lists these attempts; they are copied into
the manifest when the run is finished.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from enum import IntEnum
from pathlib import Path
from typing import Any

from ndino.common.files import write_json
from ndino.train.checkpoints import newest_complete_checkpoint, remove_incomplete_checkpoints, step_of

JOB = "job.json"


class AttemptOutcome(IntEnum):
    """How a training job ended. train.sh reads it as the exit code of ``ndino cluster outcome``."""

    FINISHED = 0
    FAILED = 1
    RESUME = 75  # stopped, but with progress: requeue the job


def begin(out: Path, environment: Mapping[str, str], *, nodes: int, ranks: int) -> None:
    """Record the start of an attempt in ``out``, from the job's ``environment``."""
    attempts = _attempts(out)
    # First, because from_step has to be the step from which training will resume.
    remove_incomplete_checkpoints(out)
    attempts.append(
        {
            "job": environment.get("SLURM_JOB_ID"),
            "restart": int(environment.get("SLURM_RESTART_COUNT", "0")),
            "node_list": environment.get("SLURM_JOB_NODELIST"),
            "nodes": nodes,
            "ranks": ranks,
            "from_step": step_of(newest_complete_checkpoint(out)),
            "started": round(time.time()),
        }
    )
    write_json(out / JOB, attempts)


def end(out: Path) -> None:
    """Record the end of the latest attempt, and all attempts in a finished run's manifest."""
    attempts = _attempts(out)
    if not attempts:
        return
    attempts[-1]["ended"] = round(time.time())
    write_json(out / JOB, attempts)
    path = out / "manifest.json"
    if path.exists():
        manifest = json.loads(path.read_text(encoding="utf-8"))
        known = [attempt for attempt in attempts if "ended" in attempt]
        seconds = sum(attempt["ended"] - attempt["started"] for attempt in known)
        write_json(path, {**manifest, "attempts": attempts, "wall_seconds": seconds})


def outcome(out: Path) -> tuple[AttemptOutcome, str]:
    """How the latest attempt ended, and a message that says so."""
    if (out / "manifest.json").exists():
        return AttemptOutcome.FINISHED, f"{out}: finished"
    before = _attempts(out)[-1]["from_step"] if _attempts(out) else 0
    now = step_of(newest_complete_checkpoint(out))
    if now > before:
        return AttemptOutcome.RESUME, f"{out}: stopped after step {now}, will be resumed"
    return AttemptOutcome.FAILED, (
        f"{out}: ended without a checkpoint later than step {before} (remedy: read the log above; if "
        "time ran out, use a longer --time or a smaller save_steps)"
    )


def _attempts(out: Path) -> list[dict[str, Any]]:
    try:
        return json.loads((out / JOB).read_text(encoding="utf-8"))
    except OSError:
        return []
