"""The programs of an Apertium pair: no text affects another, and none is lost."""

from __future__ import annotations

import subprocess

import pytest

from ndino.data.translation.engines.apertium import Apertium
from ndino.data.translation.engines.apertium_pipe import _kinds, _through
from tests.data.translation.engines.test_apertium import needs_apertium

TEXTS = [
    "How many dogs are in the picture?",
    "The cat is on the table.",
    "the men look",
    "The men look.",
    "A red car",
    "Question: What colour is the sky? Answer: Blue",
    # Spanish words of kinds that its tagger does not know: "para", "Nada" and "Podemos" with capitals.
    "What is he about to do? Options: (1) Swim; (2) sleep.",
    "This is a picture. We can see a house.",
]


class TestWithApertium:
    pytestmark = needs_apertium

    def test_a_text_does_not_depend_on_its_neighbours(self) -> None:
        to_italian = Apertium("eng", "ita")
        alone = [to_italian.translate([text])[0] for text in TEXTS]
        assert to_italian.translate(TEXTS) == alone
        assert to_italian.translate(TEXTS[::-1]) == alone[::-1]

    def test_words_that_the_tagger_does_not_know_affect_no_other_text(self) -> None:
        alone = [Apertium("eng", "ita").translate([text])[0] for text in TEXTS]
        translator = Apertium("eng", "ita")
        assert translator.translate(TEXTS[::-1]) == alone[::-1]
        # Now it knows which words they are.
        assert translator.translate([*TEXTS, *TEXTS]) == alone * 2


def test_texts_go_through_a_program_between_nuls() -> None:
    assert _through(["tr", "a-z", "A-Z"], [b"one", b"", b"two\nlines"])[0] == [b"ONE", b"", b"TWO\nLINES"]
    assert _through(["false"], []) == ([], b"")


def test_a_program_that_fails_or_loses_a_text_is_an_error() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        _through(["false"], [b"one"])
    with pytest.raises(subprocess.SubprocessError, match="3 texts went in, 2 came out"):
        _through(["head", "-c", "8"], [b"one", b"two", b"three"])


def test_the_readings_of_words_without_their_lemmas() -> None:
    text = rb"^run/run<n><sg>/run<vblex><inf>$ ^Sun/sun<n><sg>/sun<vblex><inf>$ ^\/\$/\/\$<sent>$"
    assert _kinds(text) == {
        b"<n><sg>/<vblex><inf>": {b"run", b"Sun"},
        b"<sent>": {rb"\/\$"},
    }
