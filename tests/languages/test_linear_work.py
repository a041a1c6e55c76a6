"""Reading an answer takes work in proportion to its length, whatever stands in it."""

from __future__ import annotations

import pytest

from ndino.languages import tokens
from ndino.languages.answers import AnswerReader, reader
from ndino.languages.language import language
from tests.work import calls_in

TEXTS = {"A": "un cane", "B": "un gatto", "C": "un topo", "D": "due cani"}
YES_NO = {"A": "sì", "B": "no"}
REPEATED = ["B) ", "B è ", "non B ", "(B) ", "B\n", "A: x, ", "A: no\nB: sì\n", "B? la ", "- B ", "sì B "]


def calls(monkeypatch: pytest.MonkeyPatch, repeated: str, length: int, choices: dict[str, str] | None) -> int:
    monkeypatch.setattr(tokens, "LONGEST", 10**9)
    fresh = AnswerReader(language("it"))  # without what others have read
    answer = (repeated * length)[:length]
    return calls_in(lambda: fresh.letter(answer, "ABCD", choices))


@pytest.mark.parametrize("repeated", REPEATED)
@pytest.mark.parametrize("choices", [None, TEXTS, YES_NO], ids=["letters", "texts", "yes-no"])
def test_three_times_the_answer_is_three_times_the_work(repeated, choices, monkeypatch):
    short, long = (calls(monkeypatch, repeated, length, choices) for length in (800, 2400))
    assert long < 4.5 * short


@pytest.mark.parametrize("repeated", ["cane ", "cane, ", "10^3 ", "5 km "])
def test_so_it_is_for_an_answer_that_may_contain_another(repeated, monkeypatch):
    monkeypatch.setattr(tokens, "LONGEST", 10**9)

    def work(length: int) -> int:
        fresh = AnswerReader(language("it"))
        answer = "non " + repeated * (length // len(repeated))
        return calls_in(lambda: (fresh.contains(answer, "cane gatto"), fresh.contains(answer, "cane")))

    assert work(2400) < 4.5 * work(800)


def test_a_denial_before_reaches_as_far_as_its_clause():
    answers = reader("it")
    assert not answers.contains("non vedo un cane, un cane", "cane gatto")
    assert not answers.contains("non vedo un cane né un altro cane", "cane")
    assert answers.contains("non vedo un gatto ma vedo un cane", "cane")
    assert answers.contains("non vedo un cane ma vedo un cane", "cane")
    assert answers.contains("un cane non è un gatto", "cane")


def test_the_text_of_an_option_counts_however_long_its_reason_is():
    reason = " perché " + "si vede qualcosa di scuro in fondo " * 40
    answers = reader("it")
    assert answers.letter("B. Sì," + reason, "AB", {"A": "no", "B": "sì"}) == "B"
    assert answers.letter("A. Sì," + reason, "AB", {"A": "no", "B": "sì"}) is None
    assert answers.letter("B. Un gatto\nA destra" + reason, "ABCD", TEXTS) == "B"
    assert answers.letter("B. Un cane\nA destra" + reason, "ABCD", TEXTS) is None
