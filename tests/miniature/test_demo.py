"""The whole pipeline: it runs, survives a kill, and at full length the models learn to look."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from miniature.demo import plan
from miniature.jobs import run_jobs
from ndino.formats.family import Family, load_family
from ndino.results.logs import read_run
from ndino.results.summary import build_summary

ROOT = Path(__file__).parents[2]
FAMILY = load_family(ROOT / "launch" / "recipes" / "family.yaml")


def demo(out: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "miniature.demo", "--fast", "--out", str(out), *more]


def summary_of(out: Path) -> dict:
    summary = json.loads((out / "report" / "summary.json").read_text())
    return {key: value for key, value in summary.items() if key not in ("seconds", "peak_rss_mb")}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("demo") / "run"
    done = subprocess.run(demo(out), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "scores mean nothing" in done.stdout
    assert str(out / "report" / "index.html") in done.stdout
    return out


def test_every_model_is_trained_scored_and_reported(undisturbed):
    summary = json.loads((undisturbed / "report" / "summary.json").read_text())
    assert set(summary["models"]) == set(FAMILY.models)
    tasks = {"gqa-it", "ok-vqa-it", "seedbench-it", "mtvqa-it", "exams-v-it", "pope-it", "captions", "colour"}
    for scores in summary["models"].values():
        assert tasks <= set(scores)
        assert all({"n", "shuffled", "majority"} <= set(entry) for entry in scores.values())
    assert all(set(sets) == {"llava-bench-it", "mtvqa-it"} for sets in summary["perplexity"].values())
    assert {(pair["a"], pair["b"]) for pair in summary["tests"]} >= {("IT", "PT+IT")}
    assert summary["seconds"]["mlp-pt-it"] > 0 and summary["peak_rss_mb"] > 100
    for stages in FAMILY.stages():
        manifest = json.loads((undisturbed / "-".join(stages) / "manifest.json").read_text())
        assert manifest["recipe"]["name"] == stages[-1] and manifest["loss_curve"]
        assert manifest["recipe"]["packing"]
    assert (undisturbed / "report" / "index.html").stat().st_size > 10_000
    assert (undisturbed / "report" / "tables.md").exists()


def test_a_rerun_finds_everything_done(undisturbed):
    before = summary_of(undisturbed)
    weights = undisturbed / "mlp-pt-it" / "model" / "model.safetensors"
    written = weights.stat().st_mtime_ns
    subprocess.run(demo(undisturbed), cwd=ROOT, check=True, capture_output=True)
    assert summary_of(undisturbed) == before
    assert weights.stat().st_mtime_ns == written


def test_a_demo_that_is_killed_twice_ends_with_the_same_summary(undisturbed, tmp_path):
    out = tmp_path / "killed"
    for appears in ("mlp-pt-it/checkpoint-5", "eval/IT/ok-vqa-it.jsonl"):
        process = subprocess.Popen(
            demo(out), cwd=ROOT, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while not (out / appears).exists():
            assert process.poll() is None, "ended before it could be killed"
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert not (out / "report" / "summary.json").exists()
    subprocess.run(demo(out), cwd=ROOT, check=True, capture_output=True)
    assert summary_of(out) == summary_of(undisturbed)


def test_another_demo_in_the_same_folder_is_refused(undisturbed):
    other = subprocess.run(demo(undisturbed, "--seed", "7"), cwd=ROOT, capture_output=True, text=True)
    assert other.returncode == 1
    assert "holds a demo with" in other.stderr and "remedy: remove it or choose another --out" in other.stderr


def test_a_damaged_training_file_is_named(tmp_path):
    out = tmp_path / "damaged"
    world = plan(out, FAMILY, world="drawn", seed=42, fast=True)[:1]
    run_jobs(world, workers=1, console=Console(quiet=True), log=tmp_path / "log")
    (out / "data" / "mlp.jsonl").write_text("not JSON\n")
    done = subprocess.run(demo(out), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert "mlp.jsonl" in done.stderr and "Traceback" not in done.stderr


def test_trained_at_full_length_the_models_look_at_the_image(tmp_path, monkeypatch):
    """PT and PT+IT only. Three seeds stood far above these thresholds, which are the demo's promise."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    family = Family(models={name: FAMILY.models[name] for name in ("PT", "PT+IT")})
    # Nothing below reads these.
    left_out = ("perplexity PT", "perplexity PT+IT", "tasks, part 1 of 2")
    jobs = plan(tmp_path / "run", family, world="drawn", seed=42, fast=False)
    run_jobs(
        [job for job in jobs if job.name not in left_out],
        workers=2,
        console=Console(quiet=True),
        log=tmp_path / "log",
    )
    models = build_summary(read_run(tmp_path / "run"), pairs=[])["models"]
    for kind in ("colour", "count"):
        entry = models["PT+IT"][kind]
        assert entry["exact_match"] - entry["shuffled"] >= 0.15, (kind, entry)
    captions = models["PT"]["captions"]
    assert captions["exact_match"] >= 0.40 and captions["shuffled"] < 0.05
