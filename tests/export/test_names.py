"""Every weight has a name on both sides; missing, unexpected and misshapen ones are named."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from tests.export.refusals import change_weights, refusal


@pytest.mark.parametrize(
    "key",
    [
        "model.image_newline",
        "model.layers.1.mlp.up_proj.weight",
        "lm_head.weight",
        "model.embed_tokens.weight",
    ],
)
def test_missing_key(copied, key):
    change_weights(copied, **{key: None})
    assert f"has no {key}" in refusal(copied)


def test_many_missing_keys_are_counted(copied):
    names = [name for name in load_file(copied / "model.safetensors") if "layers.0" in name]
    change_weights(copied, **dict.fromkeys(names))
    assert f"and {len(names) - 5} more" in refusal(copied)


@pytest.mark.parametrize("key", ["model.vision_resampler.query", "model.layers.7.mlp.up_proj.weight"])
def test_unexpected_key(copied, key):
    change_weights(copied, **{key: torch.ones(2)})
    assert f"has unexpected {key}" in refusal(copied)


def test_wrong_shape(copied):
    change_weights(copied, **{"model.norm.weight": torch.ones(3)})
    assert "model.safetensors: model.norm.weight is [3], but" in refusal(copied)
