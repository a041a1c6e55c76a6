"""The miniature's eight runs through the upstream engine, as `make demo ENGINE=llava-next` plans them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from miniature.demo import model_folders, plan
from miniature.jobs import run_jobs
from ndino.formats.family import load_family, run_name

pytestmark = pytest.mark.upstream
FAMILY = load_family(Path(__file__).parents[2] / "launch" / "recipes" / "family.yaml")


def test_all_stages_train_convert_and_give_upstream_s_logits(tree, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    jobs = plan(tmp_path, FAMILY, world="drawn", seed=42, fast=True, engine="llava-next")
    runs = [run_name(chain) for chain in FAMILY.stages()]
    training = [job for job in jobs if job.name in ("world", "vision tower", "language model", *runs)]
    run_jobs(training, workers=2, console=Console(quiet=True), log=tmp_path / "log")
    assert len(runs) == 8
    for run in runs:
        manifest = json.loads((tmp_path / run / "manifest.json").read_text())
        assert manifest["engine"] == "llava-next" and manifest["steps"] == 10
        assert manifest["largest_logit_difference"] < 1e-4
    assert all((folder / "config.json").exists() for folder in model_folders(FAMILY, tmp_path).values())
