"""What each start of a run was: which job, on which nodes, from which checkpoint; kept beside the run.

``job.json`` holds the attempts of a run that SLURM has started, stopped and started again; when the run is
finished its manifest takes them over.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from enum import IntEnum
from pathlib import Path
from typing import Any

from ndino.common.files import write_json
from ndino.train.checkpoints import newest_whole_checkpoint, step_of

JOB = "job.json"


class Outcome(IntEnum):
    """How a training job ended; the exit status of ``python -m ndino.cluster outcome``."""

    FINISHED = 0
    FAILED = 1
    GO_ON = 75  # stopped with progress: start it again


def begin(out: Path, environment: Mapping[str, str], *, nodes: int, ranks: int) -> None:
    """Record that an attempt begins now."""
    attempts = _attempts(out)
    attempts.append(
        {
            "job": environment.get("SLURM_JOB_ID"),
            "restart": int(environment.get("SLURM_RESTART_COUNT", "0")),
            "node_list": environment.get("SLURM_JOB_NODELIST"),
            "nodes": nodes,
            "ranks": ranks,
            "from_step": step_of(newest_whole_checkpoint(out)),
            "started": round(time.time()),
        }
    )
    write_json(out / JOB, attempts)


def end(out: Path) -> None:
    """Record that the attempt that began last ends now; a finished run's manifest learns of all of them."""
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


def outcome(out: Path) -> tuple[Outcome, str]:
    """How the attempt that began last ended, and a line that says so."""
    if (out / "manifest.json").exists():
        return Outcome.FINISHED, f"{out}: finished"
    before = _attempts(out)[-1]["from_step"] if _attempts(out) else 0
    now = step_of(newest_whole_checkpoint(out))
    if now > before:
        return Outcome.GO_ON, f"{out}: stopped after step {now}, to be continued"
    return Outcome.FAILED, (
        f"{out}: ended without a checkpoint later than step {before} (remedy: read the log above; where "
        "time ran out, a longer --time or a smaller save_steps)"
    )


def _attempts(out: Path) -> list[dict[str, Any]]:
    try:
        return json.loads((out / JOB).read_text(encoding="utf-8"))
    except OSError:
        return []
