"""What the libraries say of a healthy start is not shown, and everything else is."""

from __future__ import annotations

import logging

import pytest
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, CLIPConfig, CLIPModel, CLIPVisionModel

from fixtures.backbones import PATCH, SHAPE, SIDE, write_language_model, write_vision_tower
from ndino.train.build import build_model
from ndino.train.watching.noise import is_news, quiet_libraries


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


@pytest.fixture
def reports():
    """What is logged of loading from here on, also after a test that silenced it all."""
    logger, handler = logging.getLogger("transformers.modeling_utils"), Kept()
    logger.removeFilter(is_news)
    logger.addHandler(handler)
    logger.setLevel(logging.WARNING)
    yield handler.said
    logger.setLevel(logging.NOTSET)
    logger.removeHandler(handler)
    logger.removeFilter(is_news)


def whole_clip(folder):
    shape = {**SHAPE, "num_attention_heads": 2}
    vision = {**shape, "image_size": SIDE, "patch_size": PATCH}
    CLIPModel(CLIPConfig(text_config={**shape, "vocab_size": 64}, vision_config=vision)).save_pretrained(
        folder
    )
    return folder


@pytest.mark.parametrize("kind", ["clip", "siglip2"])
def test_the_text_encoder_beside_a_tower_is_not_reported(kind, recipe, tmp_path, reports):
    made = tmp_path / "tower"
    tower = whole_clip(made) if kind == "clip" else write_vision_tower(made, kind)
    language = write_language_model(tmp_path / "language", "llama")
    build_model(language, tower, recipe)
    assert any("text_model." in said and "UNEXPECTED" in said for said in reports)
    reports.clear()
    quiet_libraries()
    build_model(language, tower, recipe)
    assert not [said for said in reports if "LOAD REPORT" in said]


def with_weights(folder, change):
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def test_other_reports_are_shown(tmp_path, reports):
    quiet_libraries()
    tower = whole_clip(tmp_path / "tower")
    for change in (
        lambda weights: weights.update({"vision_model.encoder.gate": weights["logit_scale"].clone()}),
        lambda weights: (
            weights.pop("vision_model.encoder.gate"),
            weights.pop("vision_model.post_layernorm.bias"),
        ),
    ):
        with_weights(tower, change)
        CLIPVisionModel.from_pretrained(tower)
    language = write_language_model(tmp_path / "language", "llama")
    with_weights(
        language, lambda weights: weights.update({"head.bias": weights["model.norm.weight"].clone()})
    )
    AutoModelForCausalLM.from_pretrained(language)
    extra, missing, unused = [said for said in reports if "LOAD REPORT" in said]
    assert "encoder.gate" in extra and "MISSING" in missing and "head.bias" in unused
