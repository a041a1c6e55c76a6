"""Two ranks on the CPU, joined by gloo: they train as one rank does, and resume."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from ndino.cli import main
from ndino.train.checkpoints import newest_complete_checkpoint, step_of
from ndino.train.engine import run_stage
from ndino.train.health.divergence import events
from ndino.train.stage import Stage
from tests.kernels import with_kernel
from tests.ranks import finish_ranks, free_port, start_ranks
from tests.train.conftest import ROOT, mix_in_texts


@pytest.fixture(scope="module")
def rank_recipe(recipe):
    """Answers of different lengths in micro-batches of one, so that a mean of means would show."""
    return dataclasses.replace(
        recipe,
        per_device_batch=1,
        gradient_checkpointing=True,
        save_total_limit=2,
        max_rejected=0.1,
        eval_rows=3,
    )


@pytest.fixture(scope="module")
def rows(rows, tmp_path_factory) -> Path:
    """Some rows without images, and one with an image cut off behind its header: a rank fails to read it."""
    folder = mix_in_texts(rows, tmp_path_factory.mktemp("mixed-rows"))
    (folder / "images").unlink()
    shutil.copytree(rows / "images", folder / "images")
    torn = folder / "images" / "5.png"
    torn.write_bytes(torn.read_bytes()[:200])
    return folder


@pytest.fixture(scope="module")
def alone(backbones, rows, rank_recipe, tmp_path_factory) -> Path:
    """Run folder of one rank."""
    out = tmp_path_factory.mktemp("alone") / "run"
    stage = Stage(
        rank_recipe,
        rows / "rows.jsonl",
        rows / "images",
        out,
        language_model=backbones.language_model,
        vision_tower=backbones.vision_tower,
    )
    run_stage(stage, on_step=lambda *_: None)
    return out


@pytest.fixture
def command(backbones, rows, rank_recipe, tmp_path) -> list[str]:
    values = json.loads(json.dumps(dataclasses.asdict(rank_recipe)))
    del values["name"]
    (tmp_path / "it.yaml").write_text(yaml.safe_dump(values))
    arguments = [tmp_path / "it.yaml", "--out", tmp_path / "run"]
    arguments += ["--data", rows / "rows.jsonl", "--images", rows / "images"]
    arguments += ["--language-model", backbones.language_model, "--vision-tower", backbones.vision_tower]
    return [str(argument) for argument in arguments]


def manifest(out: Path) -> dict:
    return json.loads((out / "manifest.json").read_text())


def assert_equal(one: Path, other: Path, tolerance: float) -> None:
    ours, theirs = (load_file(out / "model" / "model.safetensors") for out in (one, other))
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert torch.allclose(value, theirs[name], atol=tolerance, rtol=0), name


def lose_the_end(out: Path) -> None:
    """The state after a job that was killed after the fourth of six steps."""
    for folder in ("checkpoint-6", "model"):
        shutil.rmtree(out / folder)
    (out / "manifest.json").unlink()


def test_two_ranks_resume_what_one_began(alone, command, tmp_path):
    shutil.copytree(alone, tmp_path / "run")
    lose_the_end(tmp_path / "run")
    said = finish_ranks(start_ranks(["-m", "ndino", "train", *command], 2))
    assert manifest(tmp_path / "run")["resumed_from"] == "checkpoint-4"
    assert [text.count("resuming from checkpoint-4") for text in said] == [1, 0]
    assert "Loading weights" not in said[1], "the first rank shows the bars"
    for text in said:
        noise = [line for line in text.splitlines() if "warn" in line.lower() or "gemm_4bit" in line]
        assert not [line for line in noise if not re.search(r"row \d+: .*using the next", line)]
    assert_same_training(alone, tmp_path / "run")


# ndino train, on the second rank with a loss that is NaN in the steps SPOIL. At exit it says whether it has
# left the process group: with that in place, or while Python is taken down, a rank may abort at the end.
RANK = """
import atexit, math, os, sys
import torch.distributed as dist
from ndino.cli import main
from ndino.train.trainer import NativeTrainer

class Last:
    def __del__(self):
        os.write(1, b"taken down\\n")

last = Last()
atexit.register(lambda: print("still in the group" if dist.is_initialized() else "left the group"))
compute = NativeTrainer.compute_loss

def spoiled(self, *arguments, **options):
    bad = os.environ["RANK"] == "1" and str(self.state.global_step + 1) in os.environ.get("SPOIL", "").split()
    return compute(self, *arguments, **options) * (math.nan if bad else 1)

NativeTrainer.compute_loss = spoiled
sys.exit(main(command="train"))
"""


def test_two_ranks_train_as_one(alone, command, tmp_path):
    for said in finish_ranks(start_ranks(["-c", RANK, *command], 2)):
        assert said.endswith("left the group\n")
    assert_same_training(alone, tmp_path / "run")


def test_one_rank_that_diverges_takes_all_back_to_the_last_good_checkpoint(command, tmp_path):
    recipe = yaml.safe_load((tmp_path / "it.yaml").read_text())
    (tmp_path / "it.yaml").write_text(yaml.safe_dump({**recipe, "on_divergence": "skip"}))
    ranks = start_ranks(["-c", RANK, *command], 2, SPOIL="2 3 4 6")
    try:
        said = [rank.communicate(timeout=200)[0] for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    # Three steps are skipped, the fourth ends it: on both ranks, in one line.
    assert [rank.returncode for rank in ranks] == [1, 1], said
    for each in said:
        assert each.count("\nndino train: ") == 1 and each.endswith("left the group\n")
        assert "training diverged at step 6: the loss is nan" in each and "3 steps were skipped" in each
    out = tmp_path / "run"
    held = events(out)
    assert [(event.step, event.skipped) for event in held] == [(2, True), (3, True), (4, True), (6, False)]
    for event in held:
        spoiled = [each for each in event.batches if each["loss"] == "nan"]
        assert len(event.batches) == 4 and [each["rank"] for each in spoiled] == [1, 1]
        assert event.rows == sorted({row for each in spoiled for row in each["rows"]})
    assert newest_complete_checkpoint(out).name == held[-1].checkpoint == "checkpoint-4"
    assert not (out / "model").exists() and not (out / "manifest.json").exists()


def assert_same_training(alone: Path, together: Path, ranks: int = 2) -> None:
    one, two = manifest(alone), manifest(together)
    assert (one["ranks"], two["ranks"]) == (1, ranks)
    assert one["tokens"] == two["tokens"]
    assert (one["damaged_rows"], two["damaged_rows"]) == (1, 1)
    assert [loss for _, loss in one["loss_curve"]] == pytest.approx(
        [loss for _, loss in two["loss_curve"]], rel=1e-4
    )
    assert [step for step, _ in two["eval_curve"]] == [2, 4, 6]
    # As far as the weights below may differ.
    assert [loss for _, loss in one["eval_curve"]] == pytest.approx(
        [loss for _, loss in two["eval_curve"]], rel=2e-3
    )
    assert_equal(alone, together, 1e-4)


# Ranks on two nodes may see different files for a while.
OWN_IMAGES = "import os, sys, ndino.cli; sys.exit(ndino.cli.main([*sys.argv[1:], os.environ['RANK']]))"


def test_ranks_that_see_different_images_agree_on_the_rows_and_stop_together(command, rows, tmp_path):
    for rank in (0, 1):
        shutil.copytree(rows / "images", tmp_path / str(rank))
    for name in range(12):  # but one: a rank on which every row fails cannot train
        if name != 3:
            (tmp_path / "1" / f"{name}.png").unlink()
    ranks = start_ranks(
        [
            "-c",
            OWN_IMAGES.replace("os.environ['RANK']", f"'{tmp_path}/' + os.environ['RANK']"),
            "train",
            *command,
            "--images",
        ],
        2,
    )
    try:
        printed = [rank.communicate(timeout=120)[0] for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    assert [rank.returncode for rank in ranks] == [1, 1], printed
    for text in printed:
        # Of the 16 rows 3 are held out.
        assert re.search(r"\d of 13 rows cannot be used, .* max_rejected allows 10\.0%", text), text
    assert "0 row(s)" not in printed[0]
    assert len((tmp_path / "run" / "rejects.txt").read_text().splitlines()) >= 2


@pytest.mark.parametrize("how", ["fsdp", "zero2", "zero3"])
def test_sharded_ranks_train_as_one_and_resume_on_another_number(how, alone, command, tmp_path, capsys):
    environment = with_kernel(sys.executable) if how.startswith("zero") else os.environ
    out = tmp_path / "run"
    train_sharded(how, 2, command, environment)
    assert_same_training(alone, out)
    lose_the_end(out)
    before = sorted(out.rglob("*"))
    assert main(["train", *command]) == 1
    refusal = capsys.readouterr().err
    kind = "fsdp2" if how == "fsdp" else how
    assert f"checkpoint-4: was written by {kind} on 2 ranks; single cannot read its optimiser's" in refusal
    assert f"remedy: resume with DISTRIBUTED={how} on " in refusal
    assert sorted(out.rglob("*")) == before
    train_sharded(how, 4, command, environment)
    assert manifest(out)["resumed_from"] == "checkpoint-4"
    assert_same_training(alone, out, 4)


def train_sharded(how: str, ranks: int, command: list[str], environment: Mapping[str, str]) -> None:
    port = free_port()
    launch = ["-m", "accelerate.commands.launch", "--config_file", f"launch/accelerate/{how}.yaml"]
    launch += ["--num_machines", "1", "--num_processes", str(ranks), "--main_process_port", str(port)]
    done = subprocess.run(
        [sys.executable, *launch, "-m", "tests.train.sharded_on_cpu", *command],
        cwd=ROOT,
        env={**environment, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
        capture_output=True,
        text=True,
    )
    for left in Path("/dev/shm").glob(f"deepspeed_allreduce_buffer_*_{port}_*"):
        left.unlink()  # 67 MB of memory a rank, which DeepSpeed does not free
    assert done.returncode == 0, done.stderr[-90000:]


def listens(rank: subprocess.Popen) -> bool:
    """Whether it has a handler of its own for SIGTERM."""
    caught = re.search(r"SigCgt:\s*(\w+)", Path(f"/proc/{rank.pid}/status").read_text())[1]
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def test_a_signal_to_one_rank_stops_all_and_one_alone_resumes(alone, command, tmp_path):
    out = tmp_path / "run"
    ranks = start_ranks(["-m", "ndino", "train", *command], 2)
    # Before it listens, the signal would end the one rank and leave the other waiting for it. Before the
    # first step there would be no checkpoint.
    while not (out / "progress.json").exists() or not listens(ranks[1]):
        assert [rank.poll() for rank in ranks] == [None, None], "a rank ended early"
        time.sleep(0.01)
    ranks[1].send_signal(signal.SIGTERM)
    try:
        said = [rank.communicate(timeout=120)[0] for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    assert [rank.returncode for rank in ranks] == [130, 130], said
    stopped_at = step_of(newest_complete_checkpoint(out))
    assert 0 < stopped_at < 6
    assert f"stopped after step {stopped_at}" in said[0]
    assert not (out / "model").exists()
    assert main(["train", *command]) == 0
    found = manifest(out)
    assert (found["steps"], found["resumed_from"]) == (6, f"checkpoint-{stopped_at}")
    assert_equal(alone, out, 1e-4)
