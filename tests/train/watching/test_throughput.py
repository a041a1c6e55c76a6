"""Speed, useful share and MFU: counted by hand."""

from __future__ import annotations

import copy
import dataclasses
import json

import pytest
import torch
from transformers import CLIPVisionConfig, LlamaConfig, LlavaNextConfig, LlavaNextForConditionalGeneration

from ndino.train.engine import run_stage
from ndino.train.packing.model import use_packing
from ndino.train.trainer import set_trainable
from ndino.train.watching import throughput
from ndino.train.watching.throughput import Arithmetic, Throughput

HIDDEN, LAYERS, FFN, VOCABULARY, TOWER = 32, 2, 48, 100, 16


@pytest.fixture(scope="module")
def model() -> LlavaNextForConditionalGeneration:
    text = LlamaConfig(
        hidden_size=HIDDEN,
        num_hidden_layers=LAYERS,
        intermediate_size=FFN,
        num_attention_heads=4,
        num_key_value_heads=4,
        vocab_size=VOCABULARY,
    )
    vision = CLIPVisionConfig(
        hidden_size=TOWER,
        intermediate_size=4 * TOWER,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=56,
        patch_size=28,
    )
    return LlavaNextForConditionalGeneration(
        LlavaNextConfig(text_config=text, vision_config=vision, vision_feature_layer=-2, image_token_index=9)
    )


def test_operations_are_those_of_the_layers(model):
    set_trainable(model, ("projector", "language_model"))
    found = Arithmetic.of(model)
    weights = LAYERS * (4 * HIDDEN * HIDDEN + 3 * HIDDEN * FFN)
    assert found.token == 6 * weights
    assert found.square == LAYERS * 6 * HIDDEN
    assert found.supervised == 6 * HIDDEN * VOCABULARY
    trained = found.tile
    set_trainable(model, ("projector",))
    frozen = Arithmetic.of(model)
    assert (frozen.token, frozen.supervised) == (4 * weights, 4 * HIDDEN * VOCABULARY)
    set_trainable(model, ("projector", "vision_tower"))
    assert Arithmetic.of(model).tile > 1.5 * trained


def test_packed_samples_spare_the_last_mlp_where_nothing_is_supervised(model):
    set_trainable(model, ("projector", "language_model"))
    padded = Arithmetic.of(model)
    packing = copy.deepcopy(model)
    use_packing(packing)
    packed = Arithmetic.of(packing)
    assert padded.token - packed.token == packed.supervised - padded.supervised == 6 * 3 * HIDDEN * FFN


def test_figures_of_a_padded_batch(model, monkeypatch):
    """Two samples of 6 and 10 tokens, 3 supervised, in 2 seconds, on a GPU of a known speed."""
    set_trainable(model, ("projector", "language_model"))
    meter = Throughput(model)
    mask = torch.tensor([[1] * 6 + [0] * 4, [1] * 10])
    labels = torch.full((2, 10), -100)
    labels[0, 3:6] = 1
    clock = iter([100.0, 102.0])
    monkeypatch.setattr(throughput.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(throughput, "peak_flops", lambda device: 1e9)
    meter.on_train_begin(None, None, None)
    batch = {"attention_mask": mask, "labels": labels, "tiles": torch.empty(5, 3, 56, 56)}
    meter.saw({**batch, "sample_lengths": torch.empty(0, dtype=torch.long)})
    meter.on_step_end(None, None, None)
    found = meter.read(torch.device("cpu"))
    assert (found["samples_per_second"], found["tokens_per_second"]) == (1.0, 8.0)
    assert found["useful_share"] == 0.8
    cost = meter.arithmetic
    operations = 16 * cost.token + (36 + 100) * cost.square + 3 * cost.supervised + 5 * cost.tile
    assert found["mfu"] == pytest.approx(operations / 2e9, abs=1e-4)
    assert meter.read(torch.device("cpu")) == {}, "nothing new"
    assert meter.summary(torch.device("cpu")) == found


def test_packed_samples_are_counted_one_by_one(model):
    meter = Throughput(model)
    batch = {"attention_mask": torch.ones(1, 16), "labels": torch.full((1, 16), -100)}
    meter.saw({**batch, "tiles": torch.empty(0), "sample_lengths": torch.tensor([6, 10])})
    assert meter._counts.tolist() == [2, 16, 16, 0, 36 + 100, 0]


def test_devices_by_name(monkeypatch):
    cuda = torch.device("cuda")
    names = {"NVIDIA H100 80GB HBM3": 989e12, "NVIDIA H100 PCIe": 756e12, "NVIDIA A100-SXM4-40GB": 312e12}
    for name, peak in {**names, "Quadro P400": None}.items():
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device, name=name: name)
        assert throughput.peak_flops(cuda) == peak
    assert throughput.peak_flops(torch.device("cpu")) is None


def test_a_run_s_progress_and_manifest_have_the_figures(stage, recipe):
    recipe = dataclasses.replace(recipe, per_device_batch=2)
    run_stage(dataclasses.replace(stage, recipe=recipe), on_step=lambda *_: None)
    manifest = json.loads((stage.out / "manifest.json").read_text())
    progress = json.loads((stage.out / "progress.json").read_text())
    for figures in (manifest["speed"], progress):
        assert figures["samples_per_second"] > 0
        assert figures["tokens_per_second"] > 20 * figures["samples_per_second"]
        assert 0.5 < figures["useful_share"] <= 1
        assert "mfu" not in figures, "a CPU has no figure"
    assert progress["grad_norm"] > 0 and progress["step"] == 6
