"""A stage with packing: it trains as one without, on any number of ranks, and resumes exactly."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
import yaml
from safetensors.torch import load_file

from ndino.train.engine import run_stage
from ndino.train.stage import Stage, StageError
from tests.ranks import finish_ranks, start_ranks
from tests.train.conftest import interrupt


@pytest.fixture(scope="module", params=["micro_batch", "token"])
def plain(request, backbones, rows, recipe, tmp_path_factory):
    """Six steps in two epochs, without packing, four samples a step one by one."""
    stage = Stage(
        recipe=dataclasses.replace(recipe, per_device_batch=1, loss_average=request.param),
        data=rows / "rows.jsonl",
        image_folder=rows / "images",
        out=tmp_path_factory.mktemp("plain") / "run",
        language_model=backbones.language_model,
        vision_tower=backbones.vision_tower,
    )
    run_stage(stage, on_step=lambda *_: None)
    return stage


def packed(stage, out, **changes):
    recipe = dataclasses.replace(stage.recipe, packing=True, **changes)
    return dataclasses.replace(stage, recipe=recipe, out=out)


def curve(stage) -> list[float]:
    return [loss for _, loss in json.loads((stage.out / "manifest.json").read_text())["loss_curve"]]


def weights(stage) -> dict[str, torch.Tensor]:
    return load_file(stage.out / "model" / "model.safetensors")


def assert_close(one, other) -> None:
    assert curve(one) == pytest.approx(curve(other), rel=1e-4)
    theirs = weights(other)
    for name, value in weights(one).items():
        assert torch.allclose(value, theirs[name], atol=1e-4), name


def test_a_stage_trains_as_without_packing_and_resumes_exactly(plain, tmp_path):
    # Micro-batches of up to 300 tokens, so that there are several.
    stage = packed(plain, tmp_path / "run", max_length=300)
    run_stage(stage, on_step=lambda *_: None)
    assert_close(stage, plain)
    stopped = dataclasses.replace(stage, out=tmp_path / "stopped")
    interrupt(stopped, at=5)
    run_stage(stopped, on_step=lambda *_: None)
    assert json.loads((stopped.out / "manifest.json").read_text())["resumed_from"] == "checkpoint-4"
    theirs = weights(stopped)
    assert all(torch.equal(value, theirs[name]) for name, value in weights(stage).items())


def test_two_ranks_train_as_one(plain, tmp_path):
    stage = packed(plain, tmp_path / "run")
    values = json.loads(json.dumps(dataclasses.asdict(stage.recipe)))
    del values["name"]
    (tmp_path / "it.yaml").write_text(yaml.safe_dump(values))
    options = {
        "--out": stage.out,
        "--data": stage.data,
        "--images": stage.image_folder,
        "--language-model": stage.language_model,
        "--vision-tower": stage.vision_tower,
    }
    arguments = [str(part) for option in options.items() for part in option]
    finish_ranks(start_ranks(["-m", "ndino", "train", str(tmp_path / "it.yaml"), *arguments], 2))
    assert_close(stage, plain)


def test_too_few_rows_to_pack_are_refused(plain, tmp_path):
    with pytest.raises(StageError, match=r"12 usable row\(s\) do not fill a step of 64 .*effective_batch: 3"):
        run_stage(packed(plain, tmp_path / "run", effective_batch=64))
