"""The context of a model, by its positions and its rope scaling."""

from __future__ import annotations

import pytest

from ndino.formats.context import context_of

BEFORE = "original_max_position_embeddings"


@pytest.mark.parametrize(
    ("rope", "context"),
    [
        ({}, 8192),
        ({"rope_scaling": None, "rope_theta": 5e5}, 8192),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}}, 8192),
        ({"rope_parameters": {"rope_type": "linear", "factor": 4.0}}, 32768),
        ({"rope_scaling": {"type": "dynamic", "factor": 2.0}}, 16384),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, 32768),
        # LLaMA 3.1 and most with yarn have the stretched positions, and beside them those before.
        (
            {
                "rope_scaling": {
                    "rope_type": "llama3",
                    "factor": 8.0,
                    BEFORE: 1024,
                }
            },
            8192,
        ),
        (
            {"rope_scaling": {"rope_type": "yarn", "factor": 4.0, BEFORE: 2048}},
            8192,
        ),
    ],
)
def test_rope_scaling_stretches_the_positions(rope, context):
    config = {"model_type": "llama", "max_position_embeddings": 8192, **rope}
    assert context_of(config) == context
    assert context_of({"text_config": config, "vision_config": {"max_position_embeddings": 77}}) == context
    del config["max_position_embeddings"]
    assert context_of({"model_type": "llama"}) == 2048


@pytest.mark.parametrize(
    ("kind", "context"),
    [("llama", 2048), ("gemma3_text", 131072), ("mistral", 131072), ("llava_llama", 2048)],
)
def test_positions_that_config_json_leaves_out_are_those_of_its_kind(kind, context):
    assert context_of({"model_type": kind}) == context
    assert context_of({"model_type": "llava_next", "text_config": {"model_type": kind}}) == context
