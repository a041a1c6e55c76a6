"""Every reason for which a translated text is rejected, and what passes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ndino.data.translation import rejection
from ndino.data.translation.rejection import TextChecks
from ndino.languages.language import language

ITALIAN = TextChecks(language("it").words["number_words"])
LONG = "The man in the red jacket is standing next to a bicycle and looking at the camera."

# Correct translations, some of which stricter checks would reject.
CORRECT = [
    ("How many dogs are in the picture?", "Quanti cani ci sono nella foto?"),
    ("2 dogs and 3 cats", "due cani e tre gatti"),
    ("The city has 1,234,567 inhabitants.", "La città ha 1.234.567 abitanti."),
    ("It costs $1,234.50.", "Costa 1.234,5 $."),
    ("Pi is about 3.14.", "Pi greco è circa 3,14."),
    ("There are 12 000 seats.", "Ci sono 12.000 posti."),
    ("The points are (3,4) and (5, 6).", "I punti sono (3, 4) e (5,6)."),
    ("It opened on 12/05/2020 at 9:30.", "È stato aperto il 12.05.2020 alle 9.30."),
    ("the 2nd of the 1990s", "il secondo degli anni Novanta"),
    ("A 50cm long ruler", "Un righello lungo cinquanta centimetri"),
    ("Barack Obama", "Barack Obama"),
    ("Sony PlayStation 5", "Sony PlayStation 5"),
    ("no", "no"),
    ("pizza", "pizza"),
    ("video game", "video game"),
    ("Is there a {shape} at <image>?", "C'è un {shape} in <image>?"),
    ("no no no no no", "no no no no no"),
    ("0 0 0 0 0 0 0", "0 0 0 0 0 0 0"),
    (LONG, "L'uomo con la giacca rossa è in piedi accanto a una bicicletta e guarda l'obiettivo."),
    ("tie", "cravatta annodata al collo"),
    ("a train", "火车"),
]
WRONG = [
    (LONG, "", rejection.EMPTY),
    (LONG, "...", rejection.EMPTY),
    (LONG, "L'uomo " + "in piedi " * 10, rejection.LOOP),
    (
        LONG,
        "L'uomo sta in piedi, l'uomo sta in piedi, poi l'uomo sta in piedi e l'uomo sta in piedi.",
        rejection.LOOP,
    ),
    (LONG, "L'uomo con la giacca" + "aaaaaaaaaaaaaaaaaaaa", rejection.LOOP),
    (LONG, "男人男人男人男人男人男人", rejection.LOOP),
    (LONG, "L'uomo.", rejection.SHORT),
    ("A dog.", "Un cane che corre felice in un grande prato verde pieno di fiori.", rejection.LONG),
    (LONG, LONG, rejection.COPY),
    (LONG, LONG.replace("The man", "Uomo").upper(), rejection.COPY),
    ("Is there a {shape} at <image>?", "C'è una {forma} in <image>?", rejection.PLACEHOLDER_LOST),
    ("Is there a dog?", "C'è un cane? <image>", rejection.PLACEHOLDER_LOST),
    ("See https://example.org/a?b=1.", "Vedi https://esempio.org/a?b=1.", rejection.PLACEHOLDER_LOST),
    ("There are 12 dogs.", "Ci sono dei cani.", rejection.NUMBER_LOST),
    ("There are 3 dogs and 3 cats.", "Ci sono 3 cani e dei gatti.", rejection.NUMBER_LOST),
    ("It is 1.5 m high.", "È alto 15 m.", rejection.NUMBER_LOST),
    ("There are 2 dogs and 2 cats.", "Ci sono due cani e gatti.", rejection.NUMBER_LOST),
    ("1,234 people", "1.235 persone", rejection.NUMBER_LOST),
]


@pytest.mark.parametrize(("source", "target"), CORRECT)
def test_a_correct_translation_passes(source: str, target: str) -> None:
    assert ITALIAN.rejection(source, target) is None


@pytest.mark.parametrize(("source", "target", "reason"), WRONG)
def test_a_wrong_translation_is_rejected_with_its_reason(source: str, target: str, reason: str) -> None:
    assert ITALIAN.rejection(source, target) == reason


def test_number_words_are_those_of_the_target_language() -> None:
    assert (
        TextChecks().rejection("There are 2 dogs in the picture.", "Ci sono due cani nella foto.")
        == rejection.NUMBER_LOST
    )


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_text_gets_a_verdict(source: str, target: str) -> None:
    assert ITALIAN.rejection(source, target) in {
        None,
        rejection.EMPTY,
        rejection.LOOP,
        rejection.LONG,
        rejection.SHORT,
        rejection.COPY,
        rejection.PLACEHOLDER_LOST,
        rejection.NUMBER_LOST,
    }
