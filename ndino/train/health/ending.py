"""Why training ended early: a failure that would come again is noted in the run's folder.

A job that crashed is started again; one that said what is wrong with its data or settings is not. Importing
this module loads no PyTorch: jobs read the note on any node.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

from ndino.common.files import write_json

FAILURE = "failure.json"  # in a run's folder: reason and Unix time of the last failure that has a reason
JOB = "job.json"  # in the folder of a run that a job trains: its attempts (ndino.cluster.attempts)


def note_failure_of_job(out: Path, reason: str) -> None:
    """`note_failure`, if it is a job that trains in ``out``: a command that is refused changes no file."""
    if (out / JOB).is_file():
        note_failure(out, reason)


def note_failure(out: Path, reason: str) -> None:
    """Note that training in ``out`` ended for ``reason``; does nothing if there is no such folder."""
    if out.is_dir():
        write_json(out / FAILURE, {"reason": reason, "time": time.time()})


def failure_since(out: Path, start: float) -> str | None:
    """The reason why training ended after ``start`` (Unix time); None if none was noted."""
    try:
        note = json.loads((out / FAILURE).read_text(encoding="utf-8"))
        return note["reason"] if note["time"] >= start else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
