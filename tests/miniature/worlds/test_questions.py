"""A multiple-choice question keeps its options and marks the right one."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miniature.worlds.questions import LETTERS, make_choice


@given(seed=st.integers(0, 2**32))
def test_the_letter_is_that_of_the_right_option(seed):
    choice = make_choice("Che cosa?", "giusto", ["a", "b", "c"], random.Random(seed))
    assert sorted(choice.options) == ["a", "b", "c", "giusto"]
    assert choice.options[LETTERS.index(choice.answer)] == "giusto"


def test_every_letter_can_be_right():
    choices = [make_choice("?", "r", ["a", "b", "c"], random.Random(seed)) for seed in range(50)]
    assert {choice.answer for choice in choices} == set(LETTERS)


@pytest.mark.parametrize("wrong", [["a", "b"], ["a", "b", "c", "d"]])
def test_it_takes_three_wrong_options(wrong):
    with pytest.raises(ValueError):
        make_choice("?", "r", wrong, random.Random(0))
