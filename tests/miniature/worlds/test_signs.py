"""Exam sheets have one right option, and signs show their word."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import features

from miniature.worlds.scenes import SIDE
from miniature.worlds.signs import draw_sign, font_for, random_sheet
from ndino.languages.language import LanguageError
from ndino.languages.lexicon import lexicon
from tests.languages.shipped import SHIPPED

seeds = st.integers(0, 2**32)


@given(seed=seeds)
def test_a_sheet_has_one_right_option(seed):
    sheet = random_sheet(random.Random(seed))
    assert len(set(sheet.options)) == 4
    assert sheet.options["ABCD".index(sheet.answer)] == sheet.left + sheet.right


@pytest.mark.parametrize("code", SHIPPED)
def test_every_word_fits_on_its_board(code):
    words = lexicon(code)
    font = font_for(words)
    for word in words.signs:
        letters = np.asarray(draw_sign(word, font, random.Random(1))).min(axis=2) == 250
        columns = np.flatnonzero(letters[SIDE // 4 : -SIDE // 4].any(axis=0))
        assert columns[0] >= 4 and columns[-1] < SIDE - 4, word


def test_another_word_is_another_image_and_the_same_seed_the_same_one():
    words = lexicon("it")
    images = {word: draw_sign(word, "", random.Random(1)).tobytes() for word in words.signs}
    assert font_for(words) == "" and len(set(images.values())) == 40
    assert draw_sign("BAR", "", random.Random(1)).tobytes() == images["BAR"]


@pytest.mark.parametrize("signs", [("ШКОЛА", "ХЛЕБ"), ("ΣΧΟΛΕΙΟ", "ΨΩΜΙ"), ("ŽABA", "BAR")])
def test_a_font_that_has_the_letters_is_taken(signs):
    font = font_for(replace(lexicon("it"), signs=signs))
    assert font.endswith("DejaVuSans.ttf")
    images = {draw_sign(word, font, random.Random(1)).tobytes() for word in (*signs, signs[0][::-1])}
    assert len(images) == 3


def test_letters_that_no_font_has_are_named():
    with pytest.raises(LanguageError, match=r"'xx': no font .* such as '学校' \(remedy: .*xx.yaml"):
        font_for(replace(lexicon("it"), code="xx", signs=("学校", "肉")))


@pytest.mark.skipif(not features.check("raqm"), reason="needs FriBiDi (Debian package libfribidi0)")
def test_a_word_from_right_to_left_begins_at_the_right():
    font = font_for(replace(lexicon("it"), signs=("שייי", "باب")))
    sign = np.asarray(draw_sign("שייי", font, random.Random(1)))
    board = sign[sign[:, 6].max(axis=1) < 160, 6:-6].min(axis=2)
    letters = board > 120
    # Of these letters only the first, shin, reaches down to the line.
    assert np.flatnonzero(letters[letters.any(axis=1)][-1]).mean() > letters.shape[1] // 2


ANYWHERE = """
import hashlib, random
from dataclasses import replace
from miniature.worlds.signs import draw_sign, font_for
from ndino.languages.language import LanguageError
from ndino.languages.lexicon import lexicon
words = lexicon("sr")
images = [draw_sign(word, font_for(words), random.Random(1)).tobytes() for word in words.signs]
print(hashlib.sha256(b"".join(images)).hexdigest())
try:
    font_for(replace(words, code="he", signs=("לחם", "BAR")))
except LanguageError as error:
    print(error)
"""


def test_without_fribidi_signs_are_the_same_or_refused(tmp_path):
    for name in ("libfribidi.so", "libfribidi.so.0", "libfribidi.so.1"):
        (tmp_path / name).touch()  # cannot be loaded, and no other one is looked for

    def said(**environment: str) -> list[str]:
        command = [sys.executable, "-c", ANYWHERE]
        done = subprocess.run(
            command, env={**os.environ, **environment}, capture_output=True, text=True, check=True
        )
        return done.stdout.splitlines()

    here, without = said(), said(LD_LIBRARY_PATH=str(tmp_path))
    assert here[0] == without[0]
    assert "'he': without FriBiDi" in without[1] and "(remedy: apt-get install libfribidi0)" in without[1]
