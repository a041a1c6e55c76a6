"""The types that the wrappers promise are those that transformers really gives."""

from __future__ import annotations

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, LlavaNextConfig

from fixtures.llama3 import llama3_tokenizer
from ndino.common.transformers_types import (
    generate,
    load_with_report,
    special_tokens,
    token_id,
    vision_sizes,
)


@pytest.mark.parametrize(
    "given", [None, {"model_type": "clip_vision_model", "image_size": 28, "patch_size": 7}]
)
def test_a_towers_sizes_are_numbers(given):
    vision = LlavaNextConfig(vision_config=given).vision_config
    sizes = vision_sizes(vision)
    assert all(type(n) is int for n in (sizes.image_size, sizes.patch_size, sizes.num_hidden_layers))
    assert given is None or (sizes.image_size, sizes.patch_size) == (28, 7)


def test_special_tokens_are_texts_and_their_ids_numbers():
    tokenizer = llama3_tokenizer()
    special = special_tokens(tokenizer)
    assert type(special.bos_token) is str
    assert special.bos_token_id == token_id(tokenizer, special.bos_token)
    assert type(token_id(tokenizer, special.bos_token)) is int


def test_a_small_model_loads_with_its_report_and_generates_ids(tmp_path):
    config = LlamaConfig(
        vocab_size=16,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        bos_token_id=1,
        eos_token_id=None,
        pad_token_id=0,
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    model, report = load_with_report(LlamaForCausalLM, tmp_path)
    assert isinstance(model, LlamaForCausalLM)
    assert not report["missing_keys"]
    ids = generate(model, input_ids=torch.tensor([[1, 2]]), max_new_tokens=3, do_sample=False)
    assert ids.dtype == torch.int64
    assert ids.shape == (1, 5)
