from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ndino.data.translation import guards
from ndino.data.translation.guards import Guards, sentences
from ndino.data.translation.kept_numbers import lost_number
from ndino.languages.language import language

ITALIAN = Guards(language("it").words["number_words"])
LONG = "The man in the red jacket is standing next to a bicycle and looking at the camera."

# Right translations, among them what a strict check would refuse.
RIGHT = [
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
    (LONG, "", guards.EMPTY),
    (LONG, "...", guards.EMPTY),
    (LONG, "L'uomo " + "in piedi " * 10, guards.LOOP),
    (
        LONG,
        "L'uomo sta in piedi, l'uomo sta in piedi, poi l'uomo sta in piedi e l'uomo sta in piedi.",
        guards.LOOP,
    ),
    (LONG, "L'uomo con la giacca" + "aaaaaaaaaaaaaaaaaaaa", guards.LOOP),
    (LONG, "男人男人男人男人男人男人", guards.LOOP),
    (LONG, "L'uomo.", guards.SHORT),
    ("A dog.", "Un cane che corre felice in un grande prato verde pieno di fiori.", guards.LONG),
    (LONG, LONG, guards.COPY),
    (LONG, LONG.replace("The man", "Uomo").upper(), guards.COPY),
    ("Is there a {shape} at <image>?", "C'è una {forma} in <image>?", guards.PLACEHOLDER_LOST),
    ("Is there a dog?", "C'è un cane? <image>", guards.PLACEHOLDER_LOST),
    ("See https://example.org/a?b=1.", "Vedi https://esempio.org/a?b=1.", guards.PLACEHOLDER_LOST),
    ("There are 12 dogs.", "Ci sono dei cani.", guards.NUMBER_LOST),
    ("There are 3 dogs and 3 cats.", "Ci sono 3 cani e dei gatti.", guards.NUMBER_LOST),
    ("It is 1.5 m high.", "È alto 15 m.", guards.NUMBER_LOST),
    ("There are 2 dogs and 2 cats.", "Ci sono due cani e gatti.", guards.NUMBER_LOST),
    ("1,234 people", "1.235 persone", guards.NUMBER_LOST),
]


@pytest.mark.parametrize(("source", "target"), RIGHT)
def test_right_translations_pass(source: str, target: str) -> None:
    assert ITALIAN.fault(source, target) is None


@pytest.mark.parametrize(("source", "target", "reason"), WRONG)
def test_wrong_ones_are_named(source: str, target: str, reason: str) -> None:
    assert ITALIAN.fault(source, target) == reason


def test_words_for_numbers_belong_to_a_language() -> None:
    assert (
        Guards().fault("There are 2 dogs in the picture.", "Ci sono due cani nella foto.")
        == guards.NUMBER_LOST
    )


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_text_gets_a_verdict(source: str, target: str) -> None:
    assert ITALIAN.fault(source, target) in {
        None,
        guards.EMPTY,
        guards.LOOP,
        guards.LONG,
        guards.SHORT,
        guards.COPY,
        guards.PLACEHOLDER_LOST,
        guards.NUMBER_LOST,
    }


@given(st.text(max_size=200))
@example("1,,2 3.٣ 1.000,5 1'000'000.25")
def test_a_text_holds_its_own_numbers(text: str) -> None:
    assert lost_number(text, text, {}) is None


@given(
    st.lists(st.integers(0, 10**12), min_size=1, max_size=6), st.sampled_from([",", ".", " ", "'", "\u202f"])
)
def test_thousands_are_read_with_any_mark(numbers: list[int], mark: str) -> None:
    english = "; ".join(f"{number:,}" for number in numbers)
    other = "; ".join(f"{number:,}".replace(",", mark) for number in reversed(numbers))
    assert lost_number(english, other, {}) is None
    plain = "; ".join(map(str, numbers))
    assert lost_number(plain, other, {}) is None


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=6, unique=True), st.data())
def test_a_number_left_out_is_found(numbers: list[int], data: st.DataObject) -> None:
    left_out = data.draw(st.sampled_from(numbers))
    target = " e ".join(str(number) for number in numbers if number != left_out)
    assert lost_number(" and ".join(map(str, numbers)), target, {}) is not None


@given(st.text(alphabet="ab .!?。\u00a0\n", max_size=60))
def test_sentences_are_the_text(text: str) -> None:
    parts = sentences(text)
    assert "".join(parts) == text or not text.strip()
    assert all(part.strip() for part in parts)


def test_sentences_end_at_their_marks() -> None:
    assert sentences("Is it red? Yes. 3.5 m. 是。不是。") == [
        "Is it red? ",
        "Yes. ",
        "3.5 m. ",
        "是。",
        "不是。",
    ]
