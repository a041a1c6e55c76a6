from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ndino.evaluation.inference.generation import cut, ends_of, generation_options, is_greedy


def test_a_temperature_of_zero_is_greedy_and_sampling_settings_are_dropped():
    greedy = generation_options({"temperature": 0, "top_p": 0.9, "max_new_tokens": 16, "until": ["\n"]})
    assert greedy == {
        "do_sample": False,
        "temperature": None,
        "top_p": None,
        "num_beams": 1,
        "max_new_tokens": 16,
    }


def test_a_temperature_samples_with_its_settings():
    options = generation_options({"temperature": 0.7, "top_p": 0.9, "num_beams": 2})
    assert (options["do_sample"], options["temperature"], options["top_p"]) == (True, 0.7, 0.9)
    assert (options["num_beams"], options["max_new_tokens"]) == (2, 1024)


def test_what_lmms_eval_fills_in_is_no_end():
    assert ends_of({"until": ["\n\n"]}) == ends_of({"until": None}) == ends_of({}) == []
    assert ends_of({"until": "."}) == ["."]
    assert ends_of({"until": ["\n\n", ".", ""]}) == ["\n\n", "."]


@given(st.text("ab.\n"), st.lists(st.text("ab.\n", min_size=1), max_size=3))
def test_an_answer_is_cut_before_the_first_end(answer, ends):
    found = cut(answer, ends)
    assert answer.startswith(found)
    assert not any(end in found for end in ends)
    assert found == answer or any(answer[len(found) :].startswith(end) for end in ends)


def test_a_thought_is_no_part_of_an_answer():
    assert cut("<think>Un gatto.\nO un cane?</think>\n\nUn gatto.\nFine.", ["\n"]) == "Un gatto."
    assert cut("<think>Un gatto.", []) == ""


def test_greedy_is_neither_drawn_nor_beams():
    assert is_greedy({}) and is_greedy({"temperature": 0.0, "num_beams": 1, "do_sample": True})
    assert not is_greedy({"temperature": 0.1}) and not is_greedy({"num_beams": 2})
