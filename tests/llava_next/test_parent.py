"""A trainer ends with the process that started it, however long its steps are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

OVERLAY = Path(__file__).parents[2] / "overlay" / "llava" / "ndino"
TRAINER = "import parent, time; parent.follow_parent(); print('training', flush=True); time.sleep(60)"


def start(**environment: str) -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, "-c", TRAINER],
        env=os.environ | {"PYTHONPATH": str(OVERLAY)} | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "training\n"
    return process


def test_it_ends_with_its_engine():
    with start(NDINO_FOLLOW_STDIN="1") as process:
        process.stdin.close()
        assert process.wait(timeout=10) == 1


def test_started_by_itself_it_does_not_read_stdin():
    with start() as process:
        process.stdin.close()
        try:
            process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            process.kill()
        else:
            raise AssertionError("it ended with its standard input")
