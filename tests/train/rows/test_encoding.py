"""A row of LLaVA JSON as ids, labels and counts, whole and cut to the length limit."""

from __future__ import annotations

import copy
import dataclasses
import re

import pytest

from ndino.formats.llava_json import Conversation
from ndino.formats.prompts import IGNORE_INDEX, PromptError, Turn
from ndino.train.rows.encoding import cut_row, encode, feature_counts

ROUND = (Turn("user", "<image>\nChe cosa vedi?"), Turn("assistant", "un cerchio"))
SIZE = (112, 112)  # pixels; 24 features with the test's tower


def test_the_recipe_decides_on_the_prompt(built, recipe):
    tokenizer = built[1].tokenizer
    conversation = Conversation("1", ("a.png",), ROUND, 1)
    spoken = encode(conversation, tokenizer, recipe)
    assert "<|start_header_id|>user" in tokenizer.decode(spoken.input_ids)
    plain = encode(conversation, tokenizer, dataclasses.replace(recipe, prompt="plain"))
    assert tokenizer.decode(plain.input_ids) == "<|begin_of_text|><image>un cerchio<|end_of_text|>"
    answers = dataclasses.replace(recipe, supervision="answer")
    labels = [label for label in encode(conversation, tokenizer, answers).labels if label != IGNORE_INDEX]
    assert tokenizer.decode(labels) == "un cerchio<|eot_id|>"


@pytest.mark.parametrize("prompt", ["llama3", "plain"])
@pytest.mark.parametrize("token", ["<|pad|>", "<|reserved_special_token_7|>"])
def test_a_text_that_becomes_a_control_token_is_refused(built, recipe, prompt, token):
    tokenizer = copy.deepcopy(built[1].tokenizer)
    recipe = dataclasses.replace(recipe, prompt=prompt)
    said = Conversation("1", ("a.png",), (ROUND[0], Turn("assistant", f"un {token} cerchio")), 1)
    if token != tokenizer.pad_token:
        encode(said, tokenizer, recipe)  # plain text to this tokenizer
        tokenizer.add_special_tokens({"additional_special_tokens": [token]})
    with pytest.raises(PromptError, match=re.escape(f"contains the marker {token}")):
        encode(said, tokenizer, recipe)
    other = Conversation("1", ("a.png",), (ROUND[0], Turn("assistant", "un <|cerchio|> e un |> <pad>")), 1)
    encode(other, tokenizer, recipe)


def test_plain_takes_a_single_round(built, recipe):
    with pytest.raises(PromptError, match="several rounds"):
        encode(
            Conversation("1", ("a.png",), ROUND * 2, 1),
            built[1].tokenizer,
            dataclasses.replace(recipe, prompt="plain"),
        )


def test_the_length_limit_counts_an_image_as_its_features(built, recipe):
    processor = built[1]
    plain = dataclasses.replace(recipe, prompt="plain")
    conversation = Conversation("1", ("a.png",), ROUND, 1)
    encoded = encode(conversation, processor.tokenizer, plain)
    assert feature_counts([SIZE], processor) == [24]
    whole = cut_row(conversation, encoded, [SIZE], processor, plain)
    assert (whole.length, whole.image_tokens) == (len(encoded.input_ids) + 23, (24,))
    assert whole.supervised == len(encoded.input_ids) - 2
    short = cut_row(conversation, encoded, [SIZE], processor, dataclasses.replace(plain, max_length=26))
    assert (short.length, len(short.input_ids), short.supervised) == (26, 3, 1)
    with pytest.raises(PromptError, match="truncation to 25 tokens"):
        cut_row(conversation, encoded, [SIZE], processor, dataclasses.replace(plain, max_length=25))


def test_several_images_are_a_tile_each(built):
    assert feature_counts([SIZE, (20, 300)], built[1]) == [5, 5]
    assert feature_counts([], built[1]) == []
