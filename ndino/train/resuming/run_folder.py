"""The folder of a run: one process writes in it at a time, and ``run.json`` says which run it holds.

The rule, for both engines and every launcher:

- Whoever writes in the folder holds ``.lock`` (`claimed`): ``ndino train``, the first rank of a launcher, and
  the commands of a job around them. The system frees it when the process ends, however it ends.
- ``run.json`` is written once nothing can refuse the start any more. So a refused start does not keep the
  corrected one out.
- Checkpoints or a model without ``run.json`` are of an unknown run, and are never resumed or replaced.

Importing this module loads neither PyTorch nor transformers: the cluster's checks use it on login nodes.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ndino.common.errors import reason_of
from ndino.common.files import write_json
from ndino.common.locks import BusyError, exclusive_lock
from ndino.common.options import need_no_file
from ndino.common.parsing import read_json
from ndino.train.checkpoints import (
    checkpoints_of,
    newest_complete_checkpoint,
    require_one_usable,
    written_by,
)
from ndino.train.health.ending import FAILURE
from ndino.train.manifest import differences
from ndino.train.resuming.distribution import Distribution, resumes, way_out
from ndino.train.stage import RefusedStartError, StageError, is_first_rank

RUN = "run.json"
LOCK = ".lock"  # in a run's folder: who holds it, as "PID HOST"
CLAIM = "NDINO_RUN_FOLDER"  # environment variable: the folder that this process or its parent has claimed
RESULTS = ("model", "upstream", "manifest.json")  # what a finished run leaves, beside its checkpoints
# In run.json of the upstream engine. Runs of earlier versions lack it: their batches were grouped by length.
IN_RANDOM_ORDER = {"order": "random"}
# A killed process's data loader workers inherit its lock and notice after 5 seconds that it is gone.
LINGER_SECONDS = 15
# In a job, the lock of an attempt on a node that died is kept until the file server notices.
JOB_PATIENCE_SECONDS = 300
POLL_SECONDS = 0.2
_BUSY = "another process is at work in the run's folder (remedy: wait for it)"  # `_busy` says it at length


class RunInUseError(StageError):
    """Another process holds the run's folder."""


@contextlib.contextmanager
def claimed(out: Path) -> Iterator[None]:
    """Keep every other process out of a run's folder, which is made if need be, for a ``with`` block.

    Does nothing on ranks other than the first, and where this process or the one that started it has claimed
    the folder. In a SLURM job it waits up to `JOB_PATIENCE_SECONDS` for another holder to end. A folder made
    here in which nothing was written is removed again.

    Raises:
        RunInUseError: another process holds it; the message names its number and host.
        UsageError: ``out`` is not a folder and cannot become one.
        OSError: it cannot be made or written.
    """
    if _is_ours(out) or not is_first_rank():
        yield
        return
    made = not out.exists()
    need_no_file(out).mkdir(parents=True, exist_ok=True)
    with _locked(out):
        before = os.environ.get(CLAIM)
        os.environ[CLAIM] = str(out.resolve())
        try:
            yield
        finally:
            os.environ.pop(CLAIM)
            if before is not None:
                os.environ[CLAIM] = before
            if made and [path.name for path in out.iterdir()] == [LOCK]:
                (out / LOCK).unlink()
                with contextlib.suppress(OSError):  # another process is starting in it
                    out.rmdir()


def in_use(out: Path) -> str | None:
    """What is wrong if another process holds the folder now, else None; changes nothing."""
    if _is_ours(out) or not (out / LOCK).is_file():
        return None
    try:
        with exclusive_lock(out / LOCK, _BUSY):
            return None
    except BusyError:
        return _busy(out)


def _is_ours(out: Path) -> bool:
    return os.environ.get(CLAIM) == str(out.resolve())


@contextlib.contextmanager
def _locked(out: Path) -> Iterator[None]:
    path, since, told = out / LOCK, time.monotonic(), False
    while True:
        with contextlib.ExitStack() as held:
            try:
                descriptor = held.enter_context(exclusive_lock(path, _BUSY))
            except FileNotFoundError:  # another start was refused and has removed the folder that it made
                out.mkdir(parents=True, exist_ok=True)
                continue
            except BusyError as error:
                patience = _patience(out)
                busy = _busy(out)
                if time.monotonic() - since >= patience:
                    raise RunInUseError(busy) from error
                if not told:
                    told = True
                    print(f"{busy}: waiting {patience} seconds at most", file=sys.stderr, flush=True)
                time.sleep(POLL_SECONDS)
                continue
            # Whoever removed the file meanwhile left this lock on a file that nobody else finds.
            if not path.exists() or not os.path.samestat(os.fstat(descriptor), path.stat()):
                continue
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()} {socket.gethostname()}\n".encode(), 0)
            yield
            return


def _patience(out: Path) -> int:
    if "SLURM_JOB_ID" in os.environ:
        return JOB_PATIENCE_SECONDS
    number, host = _holder(out)
    gone = host == socket.gethostname() and not Path(f"/proc/{number}").exists()
    return LINGER_SECONDS if gone else 0


def _holder(out: Path) -> tuple[str, str]:
    """Number and host of the process that holds the folder; empty where they are not known."""
    try:
        number, host = (out / LOCK).read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        return "", ""
    return number, host


def _busy(out: Path) -> str:
    number, host = _holder(out)
    who = f"process {number} on {host}" if number else "another process"
    return (
        f"{out}: {who} is at work in it (remedy: wait for it, end it, or choose another --out; if that host "
        f"is gone, remove {out / LOCK})"
    )


def write_run(out: Path, run: Mapping[str, Any]) -> None:
    """Write which run the folder holds; call it when nothing can refuse the start any more.

    Why an earlier start failed is removed: from here on this start ends the run.
    """
    write_json(out / RUN, run)
    (out / FAILURE).unlink(missing_ok=True)


def read_run(out: Path) -> dict[str, Any] | None:
    """The identity of the run in ``out``, None if it holds none.

    Raises:
        StageError: run.json is broken, or missing beside checkpoints or a model.
        OSError: run.json may not be read.
    """
    path = out / RUN
    try:
        held, fault = read_json(path), None
    except (FileNotFoundError, NotADirectoryError):
        if (found := _results(out)) is not None:
            raise StageError(
                f"{out}: holds {found} but no {RUN}, so it is not known which run that is of (remedy: put "
                "the file back, or choose another --out to start over)"
            ) from None
        return None
    except ValueError as error:
        held, fault = {}, reason_of(error)
    objects = {"it": held}
    if isinstance(held, dict):
        objects |= {name: held.get(name, {}) for name in ("recipe", "data", "start")}
    for name, value in objects.items():
        if not isinstance(value, dict):
            fault = fault or f"{name} is not a JSON object"
    if fault is not None:
        raise StageError(
            f"{path}: {fault}, so it is not known which run this is (remedy: put the file back, or choose "
            "another --out to start over)"
        )
    return held


def _results(out: Path) -> str | None:
    """The name of something in ``out`` that a run has made, if there is anything."""
    made = [path.name for _, path in sorted(checkpoints_of(out).items())]
    made += [name for name in RESULTS if (out / name).exists()]
    return made[-1] if made else None


def belongs_to(out: Path, run: Mapping[str, Any]) -> bool:
    """Whether ``out`` holds this run, as far as the result depends on it; False when it holds none.

    Raises:
        RefusedStartError: it holds a different run.
        StageError: it holds an unknown run, or run.json is broken.
        OSError: run.json may not be read.
    """
    if (held := read_run(out)) is None:
        return False
    if differing := differences(held, run):
        raise RefusedStartError(
            f"{out}: holds a run with another {' and another '.join(differing)} "
            "(remedy: put this back to resume; or remove the folder or choose another --out to start over)"
        )
    return True


def require_resumable(out: Path, now: Distribution, *, converts: bool = True) -> None:
    """Check that ranks of ``now`` can read the newest complete checkpoint of ``out``, if it has one.

    Nothing is resumed in part: without the optimiser's state training would warm up again and end with other
    weights.

    Args:
        converts: as of `resumes`.

    Raises:
        RefusedStartError: they cannot, and the message says which ranks can; or every checkpoint is damaged.
    """
    require_one_usable(out)
    checkpoint = newest_complete_checkpoint(out)
    if checkpoint is None:
        return
    held_run = read_run(out) or {}
    if "engine" in held_run and not held_run.items() >= IN_RANDOM_ORDER.items():
        raise RefusedStartError(
            f"{checkpoint}: an earlier version began this run in batches grouped by length; rows are now in "
            "random order (remedy: choose another --out to start over, or resume it with that version)"
        )
    try:
        held = written_by(checkpoint)
    except FileNotFoundError:  # the first rank sets a damaged checkpoint aside
        return
    if resumes(held, now, converts=converts):
        return
    raise RefusedStartError(
        f"{checkpoint}: was written by {held}; {now} cannot read its optimiser's state (remedy: resume with "
        f"{way_out(held, converts=converts)}, or choose another OUT= to start over)"
    )
