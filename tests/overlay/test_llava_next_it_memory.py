"""How our LLaVA-NeXT's wrapper fits a model and its questions into memory."""

from __future__ import annotations

import pytest
import torch
from lmms_eval.models.simple import llava_next_it
from lmms_eval.models.simple.llava_next_it import LlavaNextIt

from tests.overlay.asking import DOCUMENTS, QUESTIONS, ask


@pytest.fixture
def rows_at_once(monkeypatch) -> list[int]:
    """The number of questions in each call of the decoder."""
    found: list[int] = []
    decode = llava_next_it.decode

    def counted(model, rows, *rest, **named):
        found.append(sum(map(len, rows)))
        return decode(model, rows, *rest, **named)

    monkeypatch.setattr(llava_next_it, "decode", counted)
    return found


def test_a_batch_of_one_is_one_question_also_about_one_image(one_stop_folder, reference, rows_at_once):
    same = [{"question": question, "images": DOCUMENTS[0]["images"]} for question in QUESTIONS]
    whole = ask(LlavaNextIt(str(one_stop_folder), device="cpu"), DOCUMENTS + same)
    assert max(rows_at_once) > 1
    rows_at_once.clear()
    single = LlavaNextIt(str(one_stop_folder), device="cpu", batch_size=1)
    assert ask(single, DOCUMENTS + same) == whole
    assert whole[: len(DOCUMENTS)] == reference and set(rows_at_once) == {1}


def test_out_of_memory_halves_the_batch_and_continues(one_stop_folder, reference, monkeypatch):
    tried: list[int] = []
    decode = llava_next_it.decode

    def small(model, rows, *rest, **named):
        tried.append(sum(map(len, rows)))
        if tried[-1] > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return decode(model, rows, *rest, **named)

    monkeypatch.setattr(llava_next_it, "decode", small)
    assert ask(LlavaNextIt(str(one_stop_folder), device="cpu"), DOCUMENTS) == reference
    assert tried[0] > 2 and max(tried[tried.index(2) :]) == 2


def test_a_model_that_is_divided_among_devices_answers_the_same(one_stop_folder, reference):
    divided = LlavaNextIt(str(one_stop_folder), device="cpu", device_map="auto", batch_size=8)
    assert ask(divided, DOCUMENTS) == reference


def test_a_model_in_eight_bits_keeps_what_sees_whole(one_stop_folder):
    pytest.importorskip("bitsandbytes")
    small = LlavaNextIt(str(one_stop_folder), device="cpu", load_in_8bit=True, batch_size=8)
    small_parts = {
        name.split(".")[1] for name, weight in small.model.named_parameters() if weight.dtype == torch.int8
    }
    assert small_parts == {"language_model"}
    assert len(ask(small, DOCUMENTS)) == len(DOCUMENTS)
