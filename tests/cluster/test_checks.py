"""Checks of a job: precision, and whether its ranks can resume what is there."""

from __future__ import annotations

import dataclasses
import json

import pytest

from ndino.cluster.checks import Allocation, check
from ndino.train.checkpoints import mark_complete
from ndino.train.manifest import identity
from ndino.train.stage import Stage
from tests.cluster.conftest import ROOT, Site


@pytest.fixture
def stage(login: Site) -> Stage:
    from ndino.formats.recipes import load_recipe

    recipe = load_recipe(login.recipes / "mlp.yaml")
    return Stage(
        dataclasses.replace(recipe, precision="bf16"),
        ROOT / recipe.data,
        ROOT / recipe.image_folder,
        login.runs / "mlp",
        language_model=ROOT / login.settings["LANGUAGE_MODEL"],
        vision_tower=ROOT / login.settings["VISION_TOWER"],
    )


@pytest.mark.parametrize(("distributed", "gpus"), [("ddp", 1), ("zero3", 1), ("ddp", 2)])
def test_the_upstream_engine_is_not_trained_in_bf16_alone(stage, distributed, gpus):
    def problems(engine: str, **changes) -> list[str]:
        allocation = Allocation(**{"nodes": 1, "gpus": gpus, "distributed": distributed, **changes})
        found = check(stage, allocation, engine=engine).problems
        return [problem for problem in found if "keeps no fp32 weights" in problem]

    assert len(problems("llava-next")) == 1
    assert problems("native") == problems("llava-next", device="cpu") == []
    assert problems("llava-next", gpus=2, distributed="zero2") == []


def test_ranks_that_cannot_read_the_optimizer_are_refused(stage):
    checkpoint = stage.out / "checkpoint-4"
    (checkpoint / "global_step4").mkdir(parents=True)
    for rank in range(2):
        for part in ("model", "optim"):
            name = f"zero_pp_rank_{rank}_mp_rank_00_{part}_states.pt"
            (checkpoint / "global_step4" / name).touch()
    mark_complete(checkpoint)
    (stage.out / "run.json").write_text(json.dumps(identity(stage.recipe, stage.data, stage.start)))
    found = check(stage, Allocation(1, 2, "cpu", "zero3"), engine="native")
    assert not found.problems and f"resumes in {stage.out}" in found.facts
    for other in (Allocation(1, 2, "cpu", "ddp"), Allocation(1, 1, "cpu", "zero3")):
        (problem,) = check(stage, other, engine="native").problems
        assert "checkpoint-4: was written by zero3 on 2 ranks" in problem
        assert "remedy: resume with DISTRIBUTED=zero3 on 2 ranks, or choose another OUT=" in problem
