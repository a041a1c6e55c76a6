"""The parts of a source as the tasks of a job array on a real SLURM."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ndino.data.framework.merge import merge
from tests.commands import data as main
from tests.data.framework import toy
from tests.data.same import assert_same_folders
from tests.data.samples.native_samples import PAIRS, write_mtvqa

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.system


def test_the_tasks_of_an_array_are_the_shards_of_a_source(slurm, tmp_path):
    # Numbered from 1 and by twos, as users do.
    options = ["--parsable", "--wait", "--array=1-5:2", f"--chdir={ROOT}", f"--output={tmp_path}/%a.log"]
    work = f"{sys.executable} -m tests.data.framework.toy --out {tmp_path / 'array'}"
    slurm.run("sbatch", *options, "--wrap", work)
    assert "shard 1/3 is complete" in (tmp_path / "3.log").read_text()
    merge(tmp_path / "array")
    assert toy.run("--out", tmp_path / "alone") == 0
    assert toy.files_below(tmp_path / "array") == toy.files_below(tmp_path / "alone")


def test_a_source_as_an_array_with_its_merge_behind_it(site, tmp_path):
    source = ["mtvqa", "--split", "train", "--source", str(write_mtvqa(tmp_path / "hub", [PAIRS] * 3))]
    alone, together = tmp_path / "alone", tmp_path / "array"
    assert main(["native", *source, "--out", str(alone)]) == 0
    site.settings |= {"SBATCH_OPTIONS": f"--output={tmp_path}/%x-%j.log --cpus-per-task=1"}
    done = site.call("launch/data.sh", "native", "2", *source, OUT=str(together))
    assert done.returncode == 0, done.stderr
    array, merging = done.stdout.split()
    assert site.slurm.wait(merging) == "COMPLETED", site.log(merging)
    assert site.slurm.state(array) == "COMPLETED"
    assert_same_folders(together, alone)
