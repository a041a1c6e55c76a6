"""Exam sheets have one right option, and signs show their word."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from miniature.worlds.scenes import SIDE
from miniature.worlds.signs import WORDS, draw_sign, random_sheet

seeds = st.integers(0, 2**32)


@given(seed=seeds)
def test_a_sheet_has_one_right_option(seed):
    sheet = random_sheet(random.Random(seed))
    assert len(set(sheet.options)) == 4
    assert sheet.options["ABCD".index(sheet.answer)] == sheet.left + sheet.right


@given(seed=seeds)
def test_every_word_fits_on_its_board(seed):
    for word in WORDS:
        letters = np.asarray(draw_sign(word, random.Random(seed))).min(axis=2) == 250
        columns = np.flatnonzero(letters[SIDE // 4 : -SIDE // 4].any(axis=0))
        assert columns[0] >= 4 and columns[-1] < SIDE - 4, word


def test_another_word_is_another_image_and_the_same_seed_the_same_one():
    images = {word: draw_sign(word, random.Random(1)).tobytes() for word in WORDS}
    assert len(set(images.values())) == len(WORDS)
    assert draw_sign("BAR", random.Random(1)).tobytes() == images["BAR"]
