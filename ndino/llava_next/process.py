"""The upstream trainer as a process: its steps, its log, and how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from ndino.common.parsing import parse_json
from ndino.train.health.ending import failure_since
from ndino.train.stage import OnStep, StageError

LOG = "train.log"
LAST_LINES = 40  # of the trainer's output, in which the reason of a failure is looked for


def run_trainer(
    python: Path,
    tree: Path,
    arguments: list[str],
    out: Path,
    on_step: OnStep | None,
    signals: Collection[int] = (signal.SIGINT,),
) -> None:
    """Run the trainer of ``tree`` to its end in the folder ``out``; its output goes to ``out/train.log``.

    It has saved no result if one of ``signals`` stopped it after a checkpoint.

    Raises:
        StageError: it failed.
    """
    last: deque[str] = deque(maxlen=LAST_LINES)
    began = time.time()
    with (
        (out / LOG).open("a", encoding="utf-8") as log,
        _trainer(python, tree, arguments, out) as process,
        _passing_on(signals, process) as passed,
        _shown_steps(on_step) as show,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            step = _step(line)
            if step is None:
                log.write(line)
                log.flush()
                last.append(line.strip())
            else:
                show(*step)
    if process.returncode == -signal.SIGUSR1 and passed:
        return  # before it listened: there was nothing to save
    if process.returncode:
        if (known := failure_since(out, began)) is not None:
            raise StageError(known)
        raise StageError(
            f"the upstream trainer failed: {_reason(last, process.returncode)} (remedy: see {out / LOG})"
        )


@contextmanager
def _shown_steps(on_step: OnStep | None) -> Iterator[OnStep]:
    """What to call with each step: ``on_step``, or by default one that rewrites a line, ended at the end."""
    begun = False

    def rewrite(step: int, of: int) -> None:
        nonlocal begun
        begun = True
        print(f"\rstep {step} of {of}", end="", flush=True)

    try:
        yield on_step or rewrite
    finally:
        if begun:  # or the error's line would be glued to it
            print(flush=True)


@contextmanager
def _trainer(python: Path, tree: Path, arguments: list[str], out: Path) -> Iterator[subprocess.Popen]:
    # The trainer ends when its standard input is closed (overlay/llava/ndino/parent.py), so it cannot outlive
    # this process.
    process = subprocess.Popen(
        [python, "-m", "llava.train.train_mem", *arguments],
        cwd=out,
        env=os.environ | {"PYTHONPATH": str(tree), "NDINO_FOLLOW_STDIN": "1", "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,  # a terminal's Ctrl-C comes to this process alone, which passes it on
    )
    try:
        yield process
        process.wait()
    finally:
        process.kill()
        process.wait()


@contextmanager
def _passing_on(signals: Collection[int], process: subprocess.Popen) -> Iterator[list[int]]:
    """Turn these signals into the trainer's stop signal; a second Ctrl-C ends it. Yields those seen."""
    seen: list[int] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and number in seen:
            raise KeyboardInterrupt
        if number == signal.SIGINT:
            print("\nstopping after this step; Ctrl-C again to end without a checkpoint", file=sys.stderr)
        seen.append(number)
        process.send_signal(signal.SIGUSR1)

    if threading.current_thread() is not threading.main_thread():
        yield seen
        return
    before = {number: signal.signal(number, pass_on) for number in signals}
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _step(line: str) -> tuple[int, int] | None:
    if not line.startswith('{"step"'):
        return None
    report = parse_json(line)
    return report["step"], report["of"]


def _reason(lines: deque[str], status: int) -> str:
    for line in reversed(lines):
        name = line.partition(":")[0]
        if name.endswith(("Error", "Exception", "Interrupt")) and " " not in name:
            return line
    return f"exit status {status}" + (f" after: {lines[-1]}" if lines else "")
