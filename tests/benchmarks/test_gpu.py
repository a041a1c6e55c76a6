"""The GPU check: its parts run on a CPU with small models, and a part that fails does not stop the others."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import torch

from benchmarks.gpu.__main__ import main, run_part
from tests.train.conftest import ROOT

# The others train in processes of their own, or are tested elsewhere.
PARTS = ["throughput", "adapters", "answers"]


def test_parts_run_on_a_cpu(tmp_path):
    command = [sys.executable, "-m", "benchmarks.gpu", "--tiny", "--out", tmp_path / "gpu.json", "--parts"]
    done = subprocess.run([*command, *PARTS], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert found["machine"]["torch"] and found["tiny"] is True
    assert list(found["parts"]) == PARTS
    speed = found["parts"]["throughput"]
    assert speed["tiny, packed"]["useful_share"] == 1 > speed["tiny, padded"]["useful_share"]
    assert speed["tiny, padded"]["steps"] == 2 and speed["tiny, padded"]["tokens_per_second"] > 0
    assert found["parts"]["adapters"]["qlora"]["samples_per_second"] > 0
    answered = found["parts"]["answers"]
    assert answered["answers_changed"] == 0 and answered["different_answers"] > 1


def test_a_part_that_fails_is_recorded(capsys):
    def fails(folder, *, tiny):
        raise ValueError("what was wrong")

    figures, passed = run_part(fails, tiny=True)
    assert not passed and figures["failed"] == "ValueError: what was wrong"


def test_without_a_gpu_full_sizes_are_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu", "--out", str(tmp_path / "gpu.json")])
    assert main() == 1
    assert "sees no GPU (remedy: --tiny)" in capsys.readouterr().err
    assert not (tmp_path / "gpu.json").exists()


def test_the_wheels_have_the_versions_of_the_constraints():
    pins = (ROOT / "constraints.txt").read_text().splitlines()
    wheels = re.findall(r"^[a-z].*$", (ROOT / "benchmarks" / "gpu-wheels.txt").read_text(), re.MULTILINE)
    held = {pin.partition(" ;")[0] for pin in pins}
    assert wheels and set(wheels) <= held
