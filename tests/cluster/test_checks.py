"""Checks of a job: precision, and whether its ranks can resume what is there."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from PIL import Image

from ndino.cluster.checks import Allocation, check, memory_needed
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


def test_memory_to_load_on_is_told_and_refused_where_the_job_has_less(stage, monkeypatch):
    for name in ("SLURM_JOB_ID", "SLURM_MEM_PER_NODE", "SLURM_MEM_PER_CPU", "SLURM_CPUS_ON_NODE"):
        monkeypatch.delenv(name, raising=False)
    allocation = Allocation(1, 2, "cpu", "ddp")
    line = "GiB a node to load the weights on 2 rank(s)"
    (fact,) = [fact for fact in check(stage, allocation, engine="native").facts if "memory: " in fact]
    assert fact.endswith(line), "on the login node a compute node's memory is not known"
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    assert "GiB granted" in " ".join(check(stage, allocation, engine="native").facts)
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "2")
    for name in ("SLURM_MEM_PER_NODE", "SLURM_MEM_PER_CPU"):
        monkeypatch.setenv(name, "1")
        (problem,) = check(stage, allocation, engine="native").problems
        assert f"{line}, and the job has 0.0 (remedy: sbatch --mem=0" in problem
        monkeypatch.delenv(name)
    # LLaMA 3 8B with its tower on four ranks.
    assert memory_needed(8_360_000_000, 4, half=False) / 1e9 == pytest.approx(150, abs=1)
    assert memory_needed(8_360_000_000, 4, half=True) / 1e9 == pytest.approx(84, abs=1)


def test_ranks_that_cannot_read_the_optimizer_are_refused(stage):
    # Where the loss is averaged over tokens, the batch of a rank may change.
    stage = dataclasses.replace(stage, recipe=dataclasses.replace(stage.recipe, loss_average="token"))
    checkpoint = stage.out / "checkpoint-4"
    (checkpoint / "global_step4").mkdir(parents=True)
    for rank in range(2):
        for part in ("model", "optim"):
            name = f"zero_pp_rank_{rank}_mp_rank_00_{part}_states.pt"
            (checkpoint / "global_step4" / name).touch()
    (checkpoint / "trainer_state.json").write_text("{}")
    mark_complete(checkpoint)
    (stage.out / "run.json").write_text(json.dumps(identity(stage.recipe, stage.data, stage.start)))
    found = check(stage, Allocation(1, 2, "cpu", "zero3"), engine="native")
    assert not found.problems and f"resumes in {stage.out}" in found.facts
    for other in (Allocation(1, 2, "cpu", "ddp"), Allocation(1, 1, "cpu", "zero3")):
        (problem,) = check(stage, other, engine="native").problems
        assert "checkpoint-4: was written by zero3 on 2 ranks" in problem
        assert "remedy: resume with DISTRIBUTED=zero3 on any number of ranks above 1, or choose" in problem
    recipe = dataclasses.replace(stage.recipe, per_device_batch=1)
    more = check(dataclasses.replace(stage, recipe=recipe), Allocation(1, 4, "cpu", "zero3"), engine="native")
    assert f"resumes in {stage.out}" in more.facts


def with_missing_images(stage: Stage, folder: Path, rows: int, missing: int) -> Stage:
    """The stage on ``rows`` rows with an image each, of which the last ``missing`` are not there."""
    record = json.loads(stage.data.read_text().splitlines()[0])
    images = folder / f"images-{missing}"
    images.mkdir()
    for number in range(rows - missing):
        (images / f"{number}.png").symlink_to(stage.image_folder / record["image"])
    data = folder / f"{missing}.jsonl"
    records = ({**record, "id": number, "image": f"{number}.png"} for number in range(rows))
    data.write_text("".join(json.dumps(each) + "\n" for each in records))
    return dataclasses.replace(stage, data=data, image_folder=images)


def test_every_image_is_looked_for(stage, tmp_path):
    # Behind the first 64, which are decoded.
    (problem,) = check(
        with_missing_images(stage, tmp_path, 300, 200), Allocation(1, 1, "cpu"), engine="native"
    ).problems
    assert "200 of 300 rows cannot be used, 66.7%, and max_rejected allows 1.0%" in problem
    assert "200 without an image that opens; the first: " in problem and "image 100.png is not in" in problem
    few = check(with_missing_images(stage, tmp_path, 300, 3), Allocation(1, 1, "cpu"), engine="native")
    assert not few.problems
    assert any("300 rows, 3 left out; the first: " in fact for fact in few.facts)
    assert any("297 have a header, the first 64 open" in fact for fact in few.facts)


def test_a_job_that_begins_leaves_the_headers_to_the_index(stage, tmp_path):
    late = with_missing_images(stage, tmp_path, 300, 200)
    found = check(late, Allocation(1, 1, "cpu"), engine="native", every_image=False)
    assert found.problems == () and any("300 rows" in fact for fact in found.facts)


def test_an_image_above_pillow_s_own_limit_passes_as_it_does_in_training(stage, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert check(stage, Allocation(1, 1, "cpu"), engine="native").problems == ()


def test_rows_that_do_not_fill_a_step_are_refused_before_the_job(stage):
    def problems(**fields) -> list[str]:
        recipe = dataclasses.replace(stage.recipe, **fields)
        found = check(
            dataclasses.replace(stage, recipe=recipe), Allocation(1, 2, "cpu", "ddp"), engine="native"
        )
        return list(found.problems)

    assert problems() == problems(eval_rows=8) == []
    (problem,) = problems(effective_batch=16)
    assert "12 usable row(s) do not fill a step of 16 " in problem and "effective_batch: 2" in problem
    (problem,) = problems(eval_rows=9)  # these are not trained on
    assert "3 usable row(s) do not fill a step of 4 " in problem
