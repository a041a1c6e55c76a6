"""Training jobs on a real SLURM: two nodes, stopped and gone on, refused."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ndino.train.checkpoints import newest_complete_checkpoint, step_of
from tests.cluster.conftest import Site
from tests.ranks import finish_ranks, free_port, start_ranks

pytestmark = pytest.mark.system
LLM, LMM = "launch/train_from_llm.sh", "launch/train_from_lmm.sh"


def completed(site: Site, job: str) -> None:
    state = site.slurm.wait(job)
    assert state == "COMPLETED", site.log(job)[-4000:] + site.slurm.run("scontrol", "show", "job", job)


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model" / "model.safetensors")


def assert_equal_weights(one: Path, other: Path) -> None:
    ours, theirs = weights(one), weights(other)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_two_nodes_train_the_projector_together(site):
    completed(site, job := site.sbatch(LLM, "mlp"))
    manifest = site.manifest("mlp")
    assert (manifest["ranks"], manifest["steps"]) == (2, 4)
    (attempt,) = manifest["attempts"]
    assert attempt["job"] == job and attempt["node_list"] == "node[0-1]" and attempt["nodes"] == 2
    assert manifest["wall_seconds"] == attempt["ended"] - attempt["started"]
    assert manifest["tokens"] and len(manifest["loss_curve"]) == 4 and manifest["data"]["sha256"]
    assert (site.runs / "mlp" / "model" / "config.json").exists()


def test_a_job_is_refused_in_its_first_minute(site):
    # Each in a line of its log, and before a rank is started.
    wrong = {
        "the job has no GPU (remedy: --gres=gpu:4": dict(options=("--gres=none",)),
        "cannot be split over 4 rank(s)": dict(options=("--gres=gpu:2",)),
        "nowhere.sif: no such image": dict(IMAGE="nowhere.sif"),
        "learning_rat: unknown field": dict(),
    }
    site.change("long", learning_rat=1)
    jobs = {
        said: site.sbatch(LLM, "long" if "learning" in said else "mlp", **how) for said, how in wrong.items()
    }
    for said, job in jobs.items():
        assert site.slurm.wait(job) == "FAILED"
        assert said in site.log(job)
        assert "Traceback" not in site.log(job)
    assert not (site.runs / "mlp" / "model").exists()


def test_a_request_that_no_node_can_meet_is_refused_by_sbatch(site):
    done = site.call("sbatch", *site.options, "--gres=gpu:8", LLM, "mlp")
    assert done.returncode and "Requested node configuration is not available" in done.stderr


@pytest.fixture
def long_run(site, rows, backbones, tmp_path) -> Path:
    """A run of 30 steps with a loader's worker, by two ranks that nothing disturbs."""
    site.change("mlp", max_steps=30, loader_workers=1)
    arguments = ["-m", "ndino", "train", site.recipes / "mlp.yaml", "--out", tmp_path / "undisturbed"]
    arguments += ["--language-model", backbones.language_model, "--vision-tower", backbones.vision_tower]
    finish_ranks(start_ranks(arguments, 2))
    return tmp_path / "undisturbed"


def wait_for_step(run: Path, step: int) -> None:
    limit = time.monotonic() + 200
    while step_reached(run) < step:
        assert time.monotonic() < limit, f"{run} has not come to step {step}"
        time.sleep(0.05)


def step_reached(run: Path) -> int:
    path = run / "progress.json"
    return json.loads(path.read_text())["step"] if path.exists() else 0


def test_told_of_the_limit_it_saves_and_goes_on_to_the_same_weights(long_part, site, long_run):
    job, run = site.sbatch(LLM, "mlp"), site.runs / "mlp"
    wait_for_step(run, 3)
    site.slurm.run("scancel", "--signal=USR1", "--batch", job)
    site.slurm.wait(job, "PENDING")
    stopped = newest_complete_checkpoint(run)
    assert 3 <= step_of(stopped) < 30
    # As a kill while saving leaves it: later, and not whole.
    torn = run / "checkpoint-29"
    shutil.copytree(stopped, torn)
    next(torn.glob("*.safetensors")).write_bytes(b"torn")
    site.slurm.hurry(job)
    completed(site, job)
    manifest = site.manifest("mlp")
    assert manifest["resumed_from"] == stopped.name and manifest["steps"] == 30
    assert [attempt["restart"] for attempt in manifest["attempts"]] == [0, 1]
    assert manifest["attempts"][1]["from_step"] == step_of(stopped)
    assert_equal_weights(long_run, run)
    curve = [loss for _, loss in manifest["loss_curve"]]
    assert curve == [loss for _, loss in json.loads((long_run / "manifest.json").read_text())["loss_curve"]]
    log = site.log(job)
    assert "start 0" in log and "start 1" in log, "the second start's log does not follow the first's"


def test_preempted_it_saves_and_goes_on_to_the_same_weights(long_part, site, long_run, tmp_path):
    # By the script itself, on a site where jobs are not given the environment.
    site.settings |= {"SBATCH_OPTIONS": " ".join(site.options), "SBATCH_EXPORT": "NONE"}
    submitted = site.call(LLM, "mlp", MASTER_PORT=str(free_port()))
    assert submitted.returncode == 0, submitted.stderr
    job, run = submitted.stdout.split()[-1], site.runs / "mlp"
    wait_for_step(run, 3)
    script = tmp_path / "urgent.sh"
    script.write_text("#!/bin/sh\nexit 0\n")
    urgent = site.slurm.run(
        "sbatch", "--parsable", "-p", "urgent", "-N2", "--gres=gpu:2", "-o", "/dev/null", str(script)
    )
    site.slurm.wait(job, "PENDING")
    assert 3 <= step_of(newest_complete_checkpoint(run)) < 30, site.log(job)
    site.slurm.wait(urgent)
    site.slurm.hurry(job)
    completed(site, job)
    assert_equal_weights(long_run, run)


def test_told_before_it_trains_it_starts_again(long_part, site):
    job = site.sbatch(LLM, "mlp")
    limit = time.monotonic() + 60
    while "start 0" not in site.log(job):
        assert time.monotonic() < limit, site.slurm.state(job)
        time.sleep(0.05)
    site.slurm.run("scancel", "--signal=USR1", "--batch", job)
    site.slurm.hurry(job)
    completed(site, job)
    assert [attempt["restart"] for attempt in site.manifest("mlp")["attempts"]] == [0, 1]


def test_a_cancelled_job_saves_and_does_not_come_back(long_part, site):
    site.change("mlp", max_steps=1000)
    job, run = site.sbatch(LLM, "mlp"), site.runs / "mlp"
    wait_for_step(run, 3)
    site.slurm.run("scancel", job)
    limit = time.monotonic() + 60
    while "mlp: cancelled (remedy: submit the same command again" not in site.log(job):
        assert time.monotonic() < limit, site.log(job) + site.slurm.state(job)
        time.sleep(0.1)
    assert step_of(newest_complete_checkpoint(run)) >= 3
    assert site.slurm.wait(job) == "CANCELLED"


def test_a_stage_that_gets_nowhere_is_not_started_for_ever(long_part, site):
    site.change("mlp", effective_batch=4, per_device_batch=1, max_steps=30)
    job = site.sbatch(LLM, "mlp", options=("--nodes=2",))
    site.slurm.wait(job, "RUNNING")
    (site.runs / "mlp").mkdir(parents=True, exist_ok=True)
    # Its first attempt is made to look as if it had begun at the last step.
    wait_for_step(site.runs / "mlp", 1)
    attempts = json.loads((site.runs / "mlp" / "job.json").read_text())
    attempts[0]["from_step"] = 30
    (site.runs / "mlp" / "job.json").write_text(json.dumps(attempts))
    site.slurm.run("scancel", "--signal=USR1", "--batch", job)
    assert site.slurm.wait(job) == "FAILED"
    assert "ended without a checkpoint later than step 30" in site.log(job)


@pytest.mark.upstream
def test_the_upstream_engine_on_two_nodes_and_the_stage_after_it(long_part, site):
    completed(site, site.sbatch(LLM, "mlp", ENGINE="llava-next"))
    manifest = site.manifest("mlp")
    assert (manifest["engine"], manifest["ranks"], manifest["steps"]) == ("llava-next", 2, 4)
    assert manifest["largest_logit_difference"] < 1e-4
    site.change("it", max_steps=20)
    job = site.sbatch(LMM, "it", ENGINE="llava-next", FROM="mlp")
    run = site.runs / "mlp-it"
    wait_for_step(run, 2)
    site.slurm.run("scancel", "--signal=USR1", "--batch", job)
    site.slurm.wait(job, "PENDING")
    assert not (run / "model").exists()
    site.slurm.hurry(job)
    completed(site, job)
    manifest = site.manifest("mlp-it")
    assert manifest["steps"] == 20 and manifest["resumed_from"].startswith("checkpoint-")
    assert manifest["largest_logit_difference"] < 1e-4 and len(manifest["attempts"]) == 2
