from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import GenerationConfig, LlavaNextForConditionalGeneration

from ndino.evaluation.inference.prefix_sharing import (
    PrefixSharing,
    common_length,
    prefix_key,
    special_settings,
)

IMAGE = 0
PROMPTS = [(5, IMAGE, 6), (5, IMAGE, 7, 8)]
WILLING = PrefixSharing(None, (), IMAGE)


@pytest.fixture
def model(tiny_model_folder) -> LlavaNextForConditionalGeneration:
    return LlavaNextForConditionalGeneration.from_pretrained(tiny_model_folder)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_plain_model_shares_for_greedy_answers_and_for_perplexity(model, attention):
    model.config.text_config._attn_implementation = attention
    sharing = PrefixSharing.of(model)
    assert sharing == PrefixSharing(None, (), model.config.image_token_id)
    assert sharing.blocker(PROMPTS) is None
    assert sharing.blocker(PROMPTS, {"max_new_tokens": 16, "temperature": 0, "do_sample": False}) is None


def test_an_attention_without_4d_masks_blocks(model):
    model.config.text_config._attn_implementation = "flash_attention_2"
    blocker = PrefixSharing.of(model).blocker(PROMPTS)
    assert blocker == "attention implementation flash_attention_2 takes no 4D mask"


def test_a_sliding_window_blocks(model):
    model.config.text_config.sliding_window = 64
    model.config.text_config.layer_types = ["full_attention", "sliding_attention"]
    assert PrefixSharing.of(model).blocker(PROMPTS) == "not every layer attends to all earlier tokens"


@pytest.mark.parametrize("settings", [{"temperature": 0.5, "do_sample": True}, {"num_beams": 2}])
def test_decoding_that_is_not_greedy_blocks(settings):
    assert WILLING.blocker(PROMPTS, settings) == "decoding is not greedy"
    assert WILLING.blocker(PROMPTS, {}) is None


def test_a_models_repetition_penalty_blocks_generated_answers_but_not_perplexity(model):
    assert special_settings(GenerationConfig(eos_token_id=2, temperature=0.7, top_p=0.9)) == ()
    model.generation_config.repetition_penalty = 1.1
    model.generation_config.no_repeat_ngram_size = 3
    sharing = PrefixSharing.of(model)
    assert sharing.special_settings == ("no_repeat_ngram_size", "repetition_penalty")
    assert "no_repeat_ngram_size, repetition_penalty" in sharing.blocker(PROMPTS, {})
    assert sharing.blocker(PROMPTS) is None


@pytest.mark.parametrize("odd", [(5,), (5, IMAGE), ()])
def test_a_prompt_without_text_after_its_image_blocks(odd):
    assert WILLING.blocker([*PROMPTS, odd]) == "a prompt has no text after its beginning"


def test_prompts_share_by_images_and_everything_up_to_the_last_one():
    key = prefix_key((5, IMAGE, 6), ["a"], IMAGE)
    assert key == prefix_key([5, IMAGE, 7, 8], ["a"], IMAGE) is not None
    others = [
        prefix_key((5, IMAGE, 6), ["b"], IMAGE),
        prefix_key((4, IMAGE, 6), ["a"], IMAGE),
        prefix_key((5, IMAGE, 6, IMAGE), ["a", "b"], IMAGE),
        prefix_key((5, IMAGE, 6, IMAGE), ["b", "a"], IMAGE),
    ]
    assert len({key, *others}) == 5
    assert prefix_key((5, 6), [], IMAGE) is None


@given(st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=6), min_size=1, max_size=6))
def test_the_common_beginning_leaves_a_token_of_each(prompts):
    found = common_length(prompts)
    longest = min(map(len, prompts)) - 1
    assert 0 <= found <= longest
    assert len({tuple(prompt[:found]) for prompt in prompts}) == 1
    assert found == longest or len({prompt[found] for prompt in prompts}) > 1


def test_the_common_beginning_leaves_each_prompt_the_tokens_of_its_own():
    assert common_length([[1, 2, 3, 4], [1, 2, 3, 4]], [2, 3]) == 1
    assert common_length([[1, 2, 3], [1, 2, 3]]) == 2
