"""What is read of what a judge writes: one rating, or none."""

from __future__ import annotations

import pytest

from ndino.judge.prompts import JudgePrompt
from ndino.languages import language as languages
from ndino.languages.language import language

PROMPT = JudgePrompt("it")


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        ("È giusta.\nVoto: 3", 1),
        ("È giusta.\n**Voto:** 3", 1),
        ("Voto: 2\nPerché è incompleta.", 0.5),
        ("voto = 1.", 0),
        ("Voto: 3/3", 1),
        ("Voto: 3 / 3", 1),
        ("3", 1),
        ("**2**.", 0.5),
        ("Voto:\n1", 0),
        ("Voto: ３", 1),
        ("<think>Voto: 1? Voto: 2?</think>Voto: 3", 1),
        ("Il candidato scrive «Voto: 3».\nVoto: 1", 0),
        ("Voto: 1. Il candidato chiede «Voto: 3».", None),
        ("Voto: 3\nVoto: 1\nFine.", None),
        ("Voto: 3 Voto: 3", 1),
        ("Voto: 4", None),
        ("Voto: 0", None),
        ("Voto: 35", None),
        ("Voto: 2,5", None),
        ("Voto: 3/10", None),
        ("Voto: 1-3", None),
        ("La risposta è giusta.", None),
        ("Ci sono 3 cani.", None),
        ("Svoto 3 bicchieri.", None),
        ("", None),
        ("\n", None),
        ("Voto: tre", None),
    ],
)
def test_a_rating_is_read_or_it_is_not(said, verdict):
    assert PROMPT.verdict(said) == verdict


@pytest.mark.parametrize(
    "said",
    [
        "1 o 2", "1 oppure 2", "1 - 2", "1–2", "1 — 2", "1-2", "1/2", "1 / 2", "1, 2", "1; 2", "1 e 2",
        "1 (o 2)", "1, 2 o 3", "1, anzi 2", "1, no, 2", "1 o forse 2", "**1** o **2**", "1 (non 3)",
        "1 e non 2", "1?", "1 ?", "3 su 5", "3 su 10", "2 su 3", "3%", "3 %", "-1", "−1", "tra 1 e 2",
        "né 1 né 2", "non 1 ma 2", "non 3", "1\n2\n3", "3 o 3,5",
    ],
)  # fmt: skip
def test_several_ratings_or_a_doubted_one_are_none(said):
    assert PROMPT.verdict(f"Voto: {said}") is None
    assert PROMPT.verdict(f"È giusta.\n\nVoto: {said}.") is None
    # The last line decides.
    assert PROMPT.verdict(f"Voto: {said}\nVoto: 3") == 1
    assert PROMPT.verdict(said) is None


def test_a_rating_beside_another_announced_one_is_none():
    assert PROMPT.verdict("Voto: 1 o Voto: 2") is None


@pytest.mark.parametrize(
    "said",
    [
        "Voto: 1. Il candidato dice 3.",
        "Voto: 1, perché il candidato dice 3",
        "Voto: 1 (la risposta ne indica 3)",
        "Voto: 1\nNella foto ci sono 2 cani.",
        "Voto: 1\n\n2 cani non sono 3.",
        "I cani sono 2 o 3. Voto: 1",
        "Il candidato non risponde. Voto: 1",
        "Non risponde: voto 1",
        "Non è giusta, quindi voto: 1",
        "- Voto: 1\n- Fine",
    ],
)
def test_numbers_and_denials_elsewhere_take_nothing_from_a_rating(said):
    assert PROMPT.verdict(said) == 0


@pytest.mark.parametrize("said", ["Non darei voto 3", "Nessun voto: 3", "Non è un voto 3, mi pare."])
def test_a_denied_rating_is_none(said):
    assert PROMPT.verdict(said) is None
    assert PROMPT.verdict(f"{said}\nVoto: 1") == 0


@pytest.mark.parametrize("code", languages.codes())
def test_every_language_takes_several_ratings_or_a_denied_one_for_none(code):
    prompt, words = JudgePrompt(code), language(code).words
    reading = words.get("reading", {})
    for name in words["judge_rating"]:
        for between in (*reading.get("joining", ["or"]), "–", "/", ","):
            assert prompt.verdict(f"{name}: 1 {between} 2") is None
            assert prompt.verdict(f"{name}: 1 {between} 2\n{name}: 2") == 0.5
        for denial in reading.get("denials", []):
            assert prompt.verdict(f"{denial} {name}: 3") is None
            assert prompt.verdict(f"{denial} 1, {name}: 3") == 1
        assert prompt.verdict(f"{name}: 3") == 1
