"""The parts of a source as the tasks of a job array on a real SLURM."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ndino.data.merge import merge
from tests.data import toy

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.system


def test_the_tasks_of_an_array_are_the_shards_of_a_source(slurm, tmp_path):
    # Numbered from 1 and by twos, as users do.
    options = ["--parsable", "--wait", "--array=1-5:2", f"--chdir={ROOT}", f"--output={tmp_path}/%a.log"]
    work = f"{sys.executable} -m tests.data.toy --out {tmp_path / 'array'}"
    slurm.run("sbatch", *options, "--wrap", work)
    assert "shard 1/3 is whole" in (tmp_path / "3.log").read_text()
    merge(tmp_path / "array")
    assert toy.run("--out", tmp_path / "alone") == 0
    assert toy.files_below(tmp_path / "array") == toy.files_below(tmp_path / "alone")
