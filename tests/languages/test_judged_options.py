"""Answers that call the options right or wrong one by one: "A: errata, B: corretta"."""

from __future__ import annotations

import pytest

from ndino.languages.answers import reader
from ndino.languages.language import language
from ndino.languages.reading_words import ReadingWords
from tests.languages.test_letters import CHOICES, LETTERS

# Every option is called RIGHT or WRONG, with its TEXT or without. {} is any option, OTHER any other.
JUDGED = [
    *(
        "OTHER: WRONG\n{}: RIGHT",
        "OTHER) WRONG\n{}) RIGHT",
        "(OTHER) WRONG\n({}) RIGHT",
        "OTHER. WRONG\n{}. RIGHT",
    ),
    *("OTHER - WRONG\n{} - RIGHT", "**OTHER**: WRONG\n**{}**: RIGHT", "- OTHER: WRONG\n- {}: RIGHT"),
    *(
        "OTHER (WRONG)\n{} (RIGHT)",
        "OTHER: è WRONG.\n{}: è RIGHT.",
        "Opzione OTHER: WRONG\n\nOpzione {}: RIGHT",
    ),
    *(
        "OTHER WRONG\n{} RIGHT",
        "OTHER: WRONG, {}: RIGHT",
        "OTHER: WRONG; {}: RIGHT.",
        "OTHER: WRONG. {}: RIGHT.",
    ),
    *("OTHER: WRONG, si vede\n{}: RIGHT, si vede", "OTHER: WRONG perché manca\n{}: RIGHT perché si vede"),
    *(
        "OTHER: non RIGHT\n{}: RIGHT",
        "OTHER: WRONG\n{}: RIGHT\nRisposta: {}",
        "OTHER: la WRONG\n{}: la RIGHT",
    ),
]
JUDGED_WITH_TEXT = [
    *("OTHER) TEXT-OTHER: WRONG\n{}) TEXT: RIGHT", "OTHER. TEXT-OTHER (WRONG)\n{}. TEXT (RIGHT)"),
    *("OTHER: TEXT-OTHER - WRONG\n{}: TEXT - RIGHT", "OTHER) TEXT-OTHER, WRONG.\n{}) TEXT, RIGHT."),
]
NOT_JUDGED = [
    *(
        "OTHER: RIGHT\n{}: RIGHT",
        "OTHER RIGHT, {} RIGHT",
        "OTHER: WRONG\n{}: WRONG",
        "OTHER: WRONG\n{}: forse",
    ),
    *(
        "OTHER: RIGHT\n{}: RIGHT in parte",
        "OTHER: WRONG\n{}: RIGHT\nOTHER: RIGHT",
        "OTHER: non WRONG\n{}: RIGHT",
    ),
    *("OTHER: WRONG\n{}: RIGHT\nLa risposta è OTHER", "OTHER: WRONG\n{}: RIGHT, ma non del tutto"),
    *("OTHER: WRONG\n{}: RIGHT\nOTHER", "OTHER: WRONG\n{}: non RIGHT", "OTHER: WRONG\n{}: non WRONG"),
    *("OTHER) TEXT-OTHER: RIGHT\n{}) TEXT: RIGHT", "OTHER) TEXT-OTHER\n{}) TEXT: RIGHT e WRONG"),
    "OTHER: la frase è RIGHT\n{}: la frase è WRONG",
]


def judged(wording: str, letter: str, other: str, right: str, wrong: str) -> str:
    filled = wording.replace("TEXT-OTHER", CHOICES[other.upper()]).replace("TEXT", CHOICES[letter.upper()])
    filled = filled.replace("RIGHT", right).replace("WRONG", wrong)
    return filled.replace("OTHER", other).replace("{}", letter)


def both_orders(wording: str) -> list[str]:
    lines = wording.split("\n")
    return (
        [wording, "\n".join([lines[1], lines[0], *lines[2:]])] if len(lines) > 1 and lines[1] else [wording]
    )


@pytest.mark.parametrize("with_choices", [True, False])
@pytest.mark.parametrize("wording", [*JUDGED, *JUDGED_WITH_TEXT])
def test_of_options_judged_one_by_one_the_right_one_is_read(wording, with_choices):
    choices = CHOICES if with_choices else None
    found = {
        said: (reader("it").letter(said, LETTERS, choices), letter)
        for order in both_orders(wording)
        for letter in LETTERS
        for other in {*"ABE"} - {letter}
        if (said := judged(order, letter, other, "corretta", "errata"))
    }
    assert {said: read for said, read in found.items() if read[0] != read[1]} == {}


@pytest.mark.parametrize("wording", ["OTHER: WRONG\n{}: RIGHT", "OTHER) TEXT-OTHER: WRONG\n{}) TEXT: RIGHT"])
def test_options_are_judged_by_every_word_for_right_and_wrong(wording):
    words = ReadingWords.of(language("it"))
    pairs = [*((right, "errata") for right in words.right), *(("corretta", wrong) for wrong in words.wrong)]
    said = [judged(order, "B", "A", *pair) for pair in pairs for order in both_orders(wording)]
    said += [judged(order, "b", "a", *pair) for pair in pairs for order in both_orders(wording)]
    assert {text: read for text in said if (read := reader("it").letter(text, LETTERS, CHOICES)) != "B"} == {}


@pytest.mark.parametrize("with_choices", [True, False])
@pytest.mark.parametrize("wording", NOT_JUDGED)
def test_options_that_are_not_judged_clearly_name_nothing(wording, with_choices):
    choices = CHOICES if with_choices else None
    said = [
        judged(wording, letter, "C" if letter != "C" else "B", "corretta", "errata") for letter in LETTERS
    ]
    assert {text: read for text in said if (read := reader("it").letter(text, LETTERS, choices))} == {}


def test_what_may_be_the_texts_of_options_judges_none():
    choices = {"A": "Falsa", "B": "Vera", "C": "Incerta"}
    assert reader("it").letter("A: falsa\nB: vera", "ABC", choices) is None
    assert reader("it").letter("A) Falsa\nB) Vera", "ABC") is None
    # The text of another option stands with the letter.
    assert reader("it").letter("A) una mucca: errata\nB) un gatto: corretta", LETTERS, CHOICES) is None
