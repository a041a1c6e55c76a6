"""A stage with adapters: what it trains, saves, resumes and publishes."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from safetensors.torch import load_file
from transformers import LlavaNextForConditionalGeneration

from ndino.formats.recipes import Adapter
from ndino.train.adapters.lora import add_adapter, load_trained, merged, prepare_adapter, save_trained
from ndino.train.build import build_model
from ndino.train.checkpoints import TRAINED, newest_complete_checkpoint
from ndino.train.engine import run_stage
from ndino.train.stage import StageError
from ndino.train.trainer import set_trainable
from tests.train.conftest import interrupt
from tests.train.samples import collate, image, make_sample

ADAPTER = Adapter(kind="lora", r=4, alpha=8.0, dropout=0.1, targets=("q_proj", "down_proj"))


@pytest.fixture
def model(backbones, recipe):
    return build_model(backbones.language_model, backbones.vision_tower, recipe)[0]


def quiet(step: int, of: int) -> None: ...


def logits(model, batch) -> torch.Tensor:
    from ndino.train.loss import last_hidden_state

    with torch.no_grad():
        return model.lm_head(last_hidden_state(model.eval(), batch))


def test_a_stage_trains_adapters_alone_resumes_bit_equal_and_publishes_a_plain_model(stage, recipe, tmp_path):
    recipe = dataclasses.replace(
        recipe, adapter=ADAPTER, trainable=("projector", "language_model"), learning_rate=1e-2
    )
    whole = dataclasses.replace(stage, recipe=recipe)
    run_stage(whole, on_step=quiet)
    stopped = dataclasses.replace(whole, out=tmp_path / "stopped")
    interrupt(stopped, at=5)
    checkpoint = newest_complete_checkpoint(stopped.out)
    assert checkpoint.name == "checkpoint-4"
    held = load_file(checkpoint / TRAINED)
    assert all("lora_" in name or "multi_modal_projector" in name or "newline" in name for name in held)
    assert not (checkpoint / "model.safetensors").exists(), "the frozen weights are not saved again"
    resumed = []
    run_stage(stopped, on_step=lambda step, of: resumed.append(step))
    assert resumed == [5, 6]
    # The published folders hold a plain model, and equal ones.
    ours, theirs = (load_file(run.out / "model" / "model.safetensors") for run in (whole, stopped))
    assert ours.keys() == theirs.keys() and not any("lora" in name or "base_layer" in name for name in ours)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    before, _ = build_model(stage.language_model, stage.vision_tower, recipe)
    published = LlavaNextForConditionalGeneration.from_pretrained(whole.out / "model").state_dict()
    moved = {name for name, value in before.state_dict().items() if not torch.equal(value, published[name])}
    assert moved == {
        name
        for name in published
        if "multi_modal_projector" in name
        or name.endswith("image_newline")
        or ("language_model" in name and ("q_proj" in name or "down_proj" in name))
    }


def test_the_merged_model_answers_as_the_adapted_one(built, model):
    batch = collate(built, make_sample(built[1], image((112, 112))))
    plain = logits(model, batch)
    add_adapter(model, ADAPTER, seed=1)
    assert torch.equal(logits(model, batch), plain), "B starts as 0"
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    adapted = logits(model, batch)
    assert (adapted - plain).abs().max() > 0.1
    other = type(model)._from_config(model.config, dtype=torch.float32)
    other.load_state_dict(merged(model.state_dict(), ADAPTER))
    assert torch.allclose(logits(other, batch), adapted, atol=1e-4)


def test_the_draw_does_not_depend_on_what_was_drawn_before(backbones, recipe):
    drawn = []
    for before in (1, 2):
        model, _ = build_model(backbones.language_model, backbones.vision_tower, recipe)
        torch.manual_seed(before)
        add_adapter(model, ADAPTER, seed=7)
        drawn.append({name: value for name, value in model.state_dict().items() if "lora_A" in name})
    assert drawn[0] and all(torch.equal(value, drawn[1][name]) for name, value in drawn[0].items())


def test_a_target_that_is_no_layer_is_refused(model, recipe):
    adapter = dataclasses.replace(ADAPTER, targets=("q_proj", "qkv"))
    recipe = dataclasses.replace(recipe, adapter=adapter)
    with pytest.raises(StageError, match=r"^recipe it: adapter\.targets: .* no linear layer qkv .*q_proj"):
        prepare_adapter(model, recipe, device=torch.device("cpu"))


def test_a_checkpoint_of_another_adapter_is_refused(model, tmp_path):
    add_adapter(model, ADAPTER, seed=0)
    set_trainable(model, ("projector", "language_model"))
    save_trained(model, None, tmp_path)
    set_trainable(model, ("language_model",))
    with pytest.raises(StageError, match=r"trained\.safetensors: 5 weights are missing or unknown"):
        load_trained(model, tmp_path)
