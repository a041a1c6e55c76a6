"""Why training ended early: a failure that would come again is noted in the run's folder.

A job that crashed is started again; one that said what is wrong with its data or settings is not. Importing
this module loads no PyTorch: jobs read the note on any node.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from ndino.common.errors import UserError, reason_of
from ndino.common.files import write_json
from ndino.common.parsing import read_json

# In a run's folder: reason and Unix time of the last failure, and whether a rerun would fail in the same way.
FAILURE = "failure.json"
JOB = "job.json"  # in the folder of a run that a job trains: its attempts (ndino.cluster.attempts)


def note_failure_of_job(out: Path, reason: str) -> None:
    """`note_failure`, if it is a job that trains in ``out``: a command that is refused changes no file."""
    if (out / JOB).is_file():
        note_failure(out, reason)


def note_failure(out: Path, reason: str, *, repeats: bool = True) -> None:
    """Note that training in ``out`` ended for ``reason``; does nothing where that cannot be written.

    Args:
        repeats: whether the same would come again if training were started again.
    """
    # The disk may be full, which is then the reason, and must be said: not that it could not be noted.
    with contextlib.suppress(OSError):
        if out.is_dir():
            write_json(out / FAILURE, {"reason": reason, "time": time.time(), "repeats": repeats})


def note_error(out: Path, error: Exception) -> None:
    """`note_failure` with an error; one that the user can put right would come again."""
    if isinstance(error, UserError):
        note_failure(out, str(error))
        return
    kind = "" if isinstance(error, OSError) else f"{type(error).__name__}: "
    note_failure(out, f"{kind}{reason_of(error)}", repeats=False)


def failure_since(out: Path, start: float) -> str | None:
    """The reason why training ended after ``start`` (Unix time) and would again; None if none was noted."""
    try:
        note = read_json(out / FAILURE)
        return note["reason"] if note["time"] >= start and note.get("repeats", True) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def compared_by_job(out: Path) -> int | None:
    """The step of the checkpoint that this attempt of a job compared before it started its ranks, if any."""
    try:
        attempt = read_json(out / JOB)[-1]
        start = (attempt["job"], attempt["restart"])
        ours = (os.environ["SLURM_JOB_ID"], int(os.environ.get("SLURM_RESTART_COUNT", "0")))
        return attempt["from_step"] if start == ours else None
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None
