"""Weights in 4 bits and moments in 8: a stage with both, and refusals in one line."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from safetensors.torch import load_file

from ndino.formats.model_folder import saved_name
from ndino.formats.recipes import Adapter
from ndino.train import engine
from ndino.train.adapters import few_bits
from ndino.train.adapters.few_bits import require_few_bits
from ndino.train.build import build_model
from ndino.train.engine import run_stage
from ndino.train.stage import StageError
from ndino.train.trainer import NativeTrainer

QLORA = Adapter(kind="qlora", r=4, targets=("q_proj", "down_proj"))


def test_a_stage_on_four_bits_learns_and_publishes_the_weights_that_it_started_from(
    stage, recipe, monkeypatch
):
    recipe = dataclasses.replace(
        recipe,
        adapter=QLORA,
        trainable=("projector", "language_model"),
        optimizer="adamw_8bit",
        learning_rate=1e-2,
        eval_rows=4,  # looked at without a gradient, between the steps
    )
    stage = dataclasses.replace(stage, recipe=recipe)
    kinds = []

    class Looking(NativeTrainer):
        def compute_loss(self, model, inputs, **options):
            attention = self.model.model.language_model.layers[0].self_attn
            kinds.append((attention.q_proj.base_layer.weight.dtype, attention.k_proj.weight.dtype))
            optimizer = self.optimizer.optimizer
            kinds.append((type(optimizer).__module__.split(".")[0], optimizer.args.optim_bits))
            return super().compute_loss(model, inputs, **options)

    monkeypatch.setattr(engine, "NativeTrainer", Looking)
    run_stage(stage, on_step=lambda *_: None)
    assert set(kinds) == {(torch.uint8, torch.uint8), ("bitsandbytes", 8)}
    curve = json.loads((stage.out / "manifest.json").read_text())["loss_curve"]
    assert curve[-1][1] < curve[0][1]
    before, _ = build_model(stage.language_model, stage.vision_tower, recipe)
    after = load_file(stage.out / "model" / "model.safetensors")
    start = {saved_name(name): value for name, value in before.state_dict().items()}
    assert after.keys() == start.keys()
    for name, value in after.items():
        trained = ("q_proj" in name and "language_model" in name) or "down_proj" in name
        trained |= "projector" in name or name == "image_newline"
        assert torch.equal(value, start[name]) != trained, name


@pytest.mark.parametrize("changes", [{"adapter": QLORA}, {"optimizer": "paged_adamw_8bit"}])
def test_without_bitsandbytes_a_run_is_refused_before_anything_is_written(
    stage, recipe, changes, monkeypatch
):
    monkeypatch.setattr(few_bits, "find_spec", lambda name: None)
    refused = dataclasses.replace(stage, recipe=dataclasses.replace(recipe, **changes))
    with pytest.raises(StageError, match="bitsandbytes is not installed"):
        run_stage(refused)
    assert not stage.out.exists()


def test_paging_needs_a_gpu(recipe, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(StageError, match="PyTorch sees no GPU"):
        require_few_bits(dataclasses.replace(recipe, optimizer="paged_adamw_8bit"))


def test_plain_recipes_need_no_package(recipe, monkeypatch):
    monkeypatch.setattr(few_bits, "find_spec", lambda name: None)
    require_few_bits(dataclasses.replace(recipe, adapter=Adapter(kind="lora")))
