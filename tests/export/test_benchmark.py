"""The benchmark of the converter runs, and both ways give the same weights."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_it_ends_with_one_line_of_json():
    command = [sys.executable, "-m", "benchmarks.convert", "--gigabytes", "0.03", "--turns", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["name"] == "convert" and found["goal"] == 0.35 and found["equal"] is True
    # So small a checkpoint shows no gain; only that both ways are measured.
    assert found["ratio"] > 0 and found["conditions"]["time_ratio"] > 0
    assert abs(found["conditions"]["checkpoint_bytes"] - 0.03e9) < 0.01e9
