"""Upstream's trainer on two CPU ranks, joined by gloo: sharded training equals unsharded."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ndino.llava_next.engine import Tree, prepare_stage, publish_stage
from ndino.train.stage import Stage, StageError
from tests.kernels import with_kernel
from tests.llava_next.conftest import first_stage
from tests.ranks import free_port
from tests.train.conftest import mix_in_texts

pytestmark = pytest.mark.upstream
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def mixed_rows(rows, tmp_path_factory) -> Path:
    return mix_in_texts(rows, tmp_path_factory.mktemp("mixed-rows"))


def train(tree: Tree, stage: Stage, how: str) -> Path:
    """Run a stage on two ranks; ``how`` names a file in ``launch/accelerate``."""
    arguments = prepare_stage(stage, cpu=True, ranks=2, launcher=how)
    program = [tree.python, "-m", "accelerate.commands.launch"]
    program += ["--config_file", ROOT / f"launch/accelerate/{how}.yaml", "--num_machines", "1"]
    program += ["--num_processes", "2", "--main_process_port", str(free_port())]
    if how == "ddp":
        program += ["-m", "llava.train.train_mem"]
    else:
        program.append(Path(__file__).with_name("sharded_on_cpu.py"))
        arguments[arguments.index("--use_cpu") + 1] = "False"
    environment = with_kernel(tree.python) | {
        "PYTHONPATH": str(tree.folder),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo",
    }
    done = subprocess.run(
        [*map(str, program), *arguments], cwd=stage.out, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-20000:]
    publish_stage(stage)
    return stage.out


def assert_equal(one: Path, other: Path) -> None:
    ours, theirs = (load_file(run / "upstream" / "model.safetensors") for run in (one, other))
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert torch.allclose(value, theirs[name], atol=1e-4, rtol=0), name


def lose_the_end(run: Path) -> None:
    """The state after a job that was killed after the fourth of six steps."""
    shutil.rmtree(run / "checkpoint-6")
    for folder in ("upstream", "model"):
        shutil.rmtree(run / folder)
    (run / "manifest.json").unlink()


def test_sharded_ranks_train_as_unsharded_ones_and_resume(
    tree, first_recipe, recipe, backbones, rows, mixed_rows, tmp_path
):
    first, second = (
        dataclasses.replace(one, per_device_batch=1, save_total_limit=2) for one in (first_recipe, recipe)
    )
    runs = {}
    for how in ("ddp", "zero3"):
        mlp = first_stage(first, backbones, rows, tmp_path / how / "mlp")
        images, start = mixed_rows / "images", mlp.out / "upstream"
        it = Stage(second, mixed_rows / "rows.jsonl", images, tmp_path / how / "it", model=start)
        runs[how] = [train(tree, stage, how) for stage in (mlp, it)]
        for run in runs[how]:
            shards = list(run.glob("checkpoint-6/global_step6/*_optim_states.pt"))
            assert len(shards) == (2 if how == "zero3" else 0)
    for one, other in zip(*runs.values(), strict=True):
        assert_equal(one, other)
    for stage in (mlp, it):
        lose_the_end(stage.out)
        with pytest.raises(StageError, match="was written by zero3 on 2 ranks; ddp on 2 ranks cannot"):
            prepare_stage(stage, cpu=True, ranks=2, launcher="ddp")
        train(tree, stage, how)
        manifest = json.loads((stage.out / "manifest.json").read_text())
        assert (manifest["resumed_from"], manifest["steps"]) == ("checkpoint-4", 6)
    for one, other in zip(*runs.values(), strict=True):
        assert_equal(one, other)
