"""What is trained, and at which learning rate."""

from __future__ import annotations

import dataclasses

import pytest

from ndino.formats.recipes import PARTS
from ndino.train.build import build_model
from ndino.train.engine import training_arguments
from ndino.train.trainer import NativeTrainer, set_trainable


@pytest.fixture
def model(backbones, recipe):
    return build_model(backbones.language_model, backbones.vision_tower, recipe)[0]


def trained(model) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_the_projector_stage_trains_projector_and_newline(model):
    set_trainable(model, ("projector",))
    assert all("multi_modal_projector" in name or name.endswith("image_newline") for name in trained(model))
    assert len(trained(model)) == 5


def test_all_leaves_out_what_the_features_do_not_depend_on(model):
    set_trainable(model, PARTS)
    frozen = {name for name, _ in model.named_parameters()} - trained(model)
    # Features are the second last hidden state, so the last layer and the norm after it are not used.
    assert model.config.vision_feature_layer == -2
    last = f"encoder.layers.{model.config.vision_config.num_hidden_layers - 1}."
    assert frozen == {
        name for name, _ in model.named_parameters() if last in name or "post_layernorm" in name
    }
    assert any(last in name for name in frozen)


def test_parts_are_frozen_one_by_one(model):
    by_part = {}
    for part in PARTS:
        set_trainable(model, (part,))
        by_part[part] = trained(model)
    assert {"lm_head.weight", "model.language_model.embed_tokens.weight"} <= by_part["language_model"]
    assert all(name.startswith("model.vision_tower.") for name in by_part["vision_tower"])
    set_trainable(model, ("projector", "language_model"))
    assert trained(model) == by_part["projector"] | by_part["language_model"]
    set_trainable(model, PARTS)
    assert trained(model) == set.union(*by_part.values())
    assert sum(map(len, by_part.values())) == len(trained(model)), "no weight is in two parts"


def test_tower_and_projector_have_their_own_rates(model, recipe, tmp_path):
    recipe = dataclasses.replace(recipe, projector_learning_rate=0.5)
    trainer = NativeTrainer(recipe=recipe, model=model, args=training_arguments(recipe, tmp_path, quiet=True))
    rates = {}
    for group in trainer.create_optimizer().param_groups:
        for parameter in group["params"]:
            rates[id(parameter)] = group["lr"]
    for name, parameter in model.named_parameters():
        expected = (
            recipe.vision_learning_rate
            if "vision_tower" in name
            else 0.5
            if "multi_modal_projector" in name
            else recipe.learning_rate
        )
        assert rates[id(parameter)] == expected, name


def test_norms_and_biases_do_not_decay(model, recipe, tmp_path):
    recipe = dataclasses.replace(recipe, weight_decay=0.1)
    trainer = NativeTrainer(recipe=recipe, model=model, args=training_arguments(recipe, tmp_path, quiet=True))
    decay = {
        id(parameter): group["weight_decay"]
        for group in trainer.create_optimizer().param_groups
        for parameter in group["params"]
    }
    for name, parameter in model.named_parameters():
        expected = 0.0 if "norm" in name or name.endswith("bias") else 0.1
        assert decay[id(parameter)] == expected, name
