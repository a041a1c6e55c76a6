"""The attempts of a run: for every start its job, nodes and first checkpoint, kept beside the run.

SLURM may start, stop and restart a run several times. ``job.json`` lists these attempts; they are copied into
the manifest when the run is finished.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from enum import IntEnum
from pathlib import Path
from typing import Any

from ndino.common.errors import reason_of
from ndino.common.files import write_json
from ndino.common.parsing import read_json
from ndino.train.checkpoints import newest_complete_checkpoint, settle_checkpoints, step_of
from ndino.train.health.ending import JOB, failure_since

MOST_TRIES = 3  # attempts in a row that crash without a newer checkpoint


class AttemptOutcome(IntEnum):
    """How a training job ended. train.sh reads it as the exit code of ``ndino cluster outcome``."""

    FINISHED = 0
    FAILED = 1
    RESUME = 75  # stopped or crashed, but with progress: requeue the job


def begin(out: Path, environment: Mapping[str, str], *, nodes: int, ranks: int) -> None:
    """Record the start of an attempt in ``out``, from the job's ``environment``.

    Raises:
        StageError: every checkpoint of the run is damaged.
    """
    attempts = _attempts(out)
    # First, because from_step has to be the step from which training will resume.
    settle_checkpoints(out)
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
        manifest = read_json(path)
        known = [attempt for attempt in attempts if "ended" in attempt]
        seconds = sum(attempt["ended"] - attempt["started"] for attempt in known)
        write_json(path, {**manifest, "attempts": attempts, "wall_seconds": seconds})


def outcome(out: Path, status: int = 0) -> tuple[AttemptOutcome, str]:
    """How the latest attempt ended, and a message that says so.

    ``status`` is the exit status of the ranks. A finished run is finished whatever it is: ranks can abort at
    exit, with the manifest written.
    """
    attempts = _attempts(out)
    if (out / "manifest.json").exists():
        return AttemptOutcome.FINISHED, f"{out}: finished"
    before, began = (attempts[-1]["from_step"], attempts[-1]["started"]) if attempts else (0, 0)
    if status and (reason := failure_since(out, began)) is not None:
        return AttemptOutcome.FAILED, f"{out}: not started again, as the same would happen: {reason}"
    now = step_of(newest_complete_checkpoint(out))
    if now > before:
        how = f"crashed (status {status})" if status else "stopped"
        return AttemptOutcome.RESUME, f"{out}: {how} after step {now}, will be resumed"
    if status:
        return _crashed_without_progress(out, status, attempts, now)
    return AttemptOutcome.FAILED, (
        f"{out}: ended without a checkpoint later than step {before} (remedy: read the log above; if "
        "time ran out, use a longer --time or a smaller save_steps)"
    )


def _crashed_without_progress(
    out: Path, status: int, attempts: list[dict[str, Any]], now: int
) -> tuple[AttemptOutcome, str]:
    # Of the job's own attempts: one that never got anywhere has a fault that is there from the start, and who
    # submits a job again wants to see it try.
    steps = [each["from_step"] for each in attempts if each["job"] == attempts[-1]["job"]]
    tries = sum(step >= now for step in steps)
    crashed = f"{out}: crashed (status {status}) without a checkpoint later than step {now}"
    if tries < min(len(steps), MOST_TRIES):
        return AttemptOutcome.RESUME, f"{crashed}, {tries} of {MOST_TRIES} tries: will be started again"
    return AttemptOutcome.FAILED, f"{crashed} (remedy: read the log above; the same command resumes)"


def _attempts(out: Path) -> list[dict[str, Any]]:
    path = out / JOB
    try:
        content = read_json(path)
        return [{"job": each["job"], "from_step": int(each["from_step"]), **each} for each in content]
    except OSError:
        return []
    except (ValueError, TypeError, KeyError) as error:
        # It counts tries and times: no reason to keep a run from being resumed.
        print(f"{path}: {reason_of(error)}: earlier attempts are forgotten", file=sys.stderr)
        path.rename(path.with_name(f"damaged-{JOB}"))
        return []
