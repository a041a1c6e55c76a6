"""What the checks of a translation measure on a text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ndino.data.translation.text_measures import copies, loops, sentences, width

SENTENCE = "The man in the red jacket is standing next to a bicycle."


@pytest.mark.parametrize(
    ("text", "looping"),
    [
        ("ha ha ha ha", True),
        ("ha ha ha", False),
        ("un cane nero un cane nero un cane nero un cane nero", True),
        ("1 0 1 0 1 0 1 0 1 0", False),
        ("hahahahahahahaha", True),
        ("男人男人男人男人男人男人", True),
        (SENTENCE, False),
    ],
)
def test_loops(text: str, looping: bool) -> None:
    assert loops(text) is looping


def test_a_phrase_all_over_a_short_text_is_a_loop_but_not_in_a_long_one() -> None:
    phrase = "in the red jacket"
    short = ". ".join(f"{phrase} {word}" for word in ("runs", "sits", "sleeps", "eats"))
    assert loops(short)
    rest = " ".join(f"word{number}" for number in range(80))
    assert not loops(f"{short} {rest}")


@pytest.mark.parametrize(
    ("source", "target", "copied"),
    [
        (SENTENCE, SENTENCE.upper(), True),
        (SENTENCE, "L'uomo con la giacca rossa sta accanto a una bicicletta.", False),
        ("Barack Obama", "Barack Obama", False),
        ("a red bus", "a red bus", False),
    ],
)
def test_copies(source: str, target: str, copied: bool) -> None:
    assert copies(source, target) is copied


def test_a_full_width_character_is_as_wide_as_three_letters() -> None:
    assert (width("train"), width("火车"), width("")) == (5, 6, 0)


@given(st.text(alphabet="ab .!?。\u00a0\n", max_size=60))
def test_sentences_joined_are_the_text(text: str) -> None:
    parts = sentences(text)
    assert "".join(parts) == text or not text.strip()
    assert all(part.strip() for part in parts)


def test_sentences_end_at_punctuation() -> None:
    assert sentences("Is it red? Yes. 3.5 m. 是。不是。") == [
        "Is it red? ",
        "Yes. ",
        "3.5 m. ",
        "是。",
        "不是。",
    ]
