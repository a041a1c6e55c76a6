"""Greedy decoding of packed prompts, against ``generate`` of each prompt alone."""

from __future__ import annotations

import pytest
import torch
from transformers import LlavaNextForConditionalGeneration

from ndino.evaluation.inference import greedy
from ndino.evaluation.inference.greedy import decode, on_model, padded_inputs

STOP = 4


def alone(model, prompt: list[int], image: dict[str, torch.Tensor], tokens: int) -> list[int]:
    with torch.no_grad():
        output = model.generate(
            input_ids=torch.tensor([prompt]),
            **image,
            max_new_tokens=tokens,
            do_sample=False,
            eos_token_id=STOP,
            pad_token_id=STOP,
        )
    return output[0, len(prompt) :].tolist()


@pytest.mark.parametrize("at_once", [1, 1024])
def test_every_prompt_gets_the_tokens_that_it_gets_alone(model, rows, monkeypatch, at_once):
    monkeypatch.setattr(greedy, "READ_AT_ONCE", at_once)
    prompts, images = zip(*rows, strict=True)
    answers = decode(model, prompts, images, stop_ids=[STOP], max_new_tokens=10)
    assert [len(row) for row in answers] == [2, 3, 1]
    for row, (own, image) in zip(answers, rows, strict=True):
        assert row == [alone(model, prompt, image, 10) for prompt in own]
    assert len({tuple(answer) for row in answers for answer in row}) > 3


def test_an_answer_ends_with_a_stop_token_or_where_the_caller_stops_it(model, rows):
    prompts, images = zip(*rows, strict=True)
    whole = decode(model, prompts, images, stop_ids=[STOP], max_new_tokens=10)
    stop = whole[0][0][3]
    ended = decode(model, prompts, images, stop_ids=[stop], max_new_tokens=10)
    for row, full in zip(ended, whole, strict=True):
        for answer, longer in zip(row, full, strict=True):
            assert answer == longer[: longer.index(stop) + 1 if stop in longer else None]
    short = decode(
        model, prompts, images, stop_ids=[STOP], max_new_tokens=10, stops=lambda ids: len(ids) == 2
    )
    assert [[answer[:2] for answer in row] for row in whole] == short


def test_rows_are_padded_on_the_left_and_tiles_at_their_end(model, rows):
    (first, *_), large = rows[0]
    (second, *_), small = rows[1]
    inputs = padded_inputs([first, second], [large, small], filler=STOP)
    width = len(first)
    assert inputs["input_ids"].shape == inputs["attention_mask"].shape == (2, width)
    assert inputs["input_ids"][1].tolist() == [STOP] * (width - len(second)) + second
    assert inputs["attention_mask"].sum(1).tolist() == [len(first), len(second)]
    assert inputs["pixel_values"].shape == (2, 5, 3, 56, 56)
    assert not inputs["pixel_values"][1, 3:].any()
    assert inputs["image_sizes"].tolist() == [[112, 112], [56, 112]]
    assert set(padded_inputs([[1, 2]], [{}], STOP)) == {"input_ids", "attention_mask"}


def test_pixels_take_the_models_dtype_and_ids_keep_theirs(tiny_model_folder):
    half = LlavaNextForConditionalGeneration.from_pretrained(tiny_model_folder, dtype=torch.bfloat16)
    moved = on_model({"pixel_values": torch.zeros(1), "input_ids": torch.zeros(1, dtype=torch.int64)}, half)
    assert (moved["pixel_values"].dtype, moved["input_ids"].dtype) == (torch.bfloat16, torch.int64)
