from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ndino.languages.answers import NUMBER_WORDS, clean, normalise, read_letter, read_yes_no

CHOICES = {"A": "un gatto", "B": "una mucca", "C": "il cane", "D": "tre topi"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("«rosso»", "rosso"),
        ("Rosso.", "rosso"),
        ("l’orso", "l'orso"),
        ("l'orso", "orso"),
        ("un gatto", "gatto"),
        ("Un'ape", "ape"),
        ("gli alberi", "alberi"),
        ("tre", "3"),
        ("ventuno", "21"),
        ("Trentotto", "38"),
        ("ventitré cani", "23 cani"),
        ("una", "1"),
        ("perche\u0301", "perché"),
        ("perchè", "perché"),
        ("citta'", "città"),
        ("U.S.A.", "USA"),
        ("3,5", "3.5"),
        ("non-fumatori", "non fumatori"),
        ("ros\u200bso", "rosso"),
        ("rosso\x00", "rosso"),
        ("ﬁore", "fiore"),
    ],
)
def test_what_means_the_same_is_the_same(one, other):
    assert normalise(one) == normalise(other) != ""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a casa", "casa"),
        ("due", "tre"),
        ("rosso", "rossi"),
        ("3.5", "35"),
        ("dell'orso", "orso"),
        ("il", ""),
    ],
)
def test_what_means_something_else_stays_different(one, other):
    assert normalise(one) != normalise(other)


def test_number_words_elide_their_vowels():
    assert [
        NUMBER_WORDS[w] for w in ("zero", "ventuno", "ventotto", "trentatre", "novantanove", "cento")
    ] == [*("0", "21", "28", "33", "99", "100")]
    assert "ventiuno" not in NUMBER_WORDS


@given(st.text())
def test_the_unicode_form_does_not_count(text):
    once = normalise(text)
    assert normalise(unicodedata.normalize("NFD", text)) == once
    assert once == once.strip()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("sì", "sì"),
        ("Si", "sì"),
        ("si\u0300", "sì"),
        ("SI'", "sì"),
        ("Sì.", "sì"),
        ("Sì, c'è un cane", "sì"),
        ("«Sì»", "sì"),
        ("La risposta è sì", "sì"),
        ("Risposta: no", "no"),
        ("No", "no"),
        ("no, non c'è", "no"),
        ("*No*", "no"),
        ("", None),
        ("forse", None),
        ("non lo so", None),
        ("nove", None),
        ("sì e no", None),
        ("No sì no sì", None),
        ("Un cane. Sì", None),
    ],
)
def test_the_first_word_says_yes_or_no(answer, said):
    assert read_yes_no(answer) == said


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        *(
            (form.format("B"), "B")
            for form in ("{}", "({})", "{})", "{}.", "[{}]", "**{}**", "«{}»", " {} \n")
        ),
        *((form.format("b"), "B") for form in ("{}", "({})", "{})", "{}.")),
        *((form.format("B"), "B") for form in ("{}) un cane", "({}) un cane", "{}. un cane", "{}: un cane")),
        ("B - un cane", "B"),
        ("La risposta è B", "B"),
        ("la risposta corretta è la (b)", "B"),
        ("La risposta e' B.", "B"),
        ("Risposta: B", "B"),
        ("Opzione B.", "B"),
        ("opzione (b)", "B"),
        ("l'opzione B è corretta", "B"),
        ("Lettera B", "B"),
        ("È la B", "B"),
        ("Direi B", "B"),
        ("Le opzioni sono A, B, C e D. La risposta è B.", "B"),
        ("Risposta B, perché A è falsa", "B"),
        ("la risposta è a.", "A"),
        ("A, perché", "A"),
        ("Un cane", "C"),
        ("3 topi", "D"),
        ("A o B", None),
        ("A) o B)", None),
        ("A. gatto B. mucca C. cane D. topi", None),
        ("A destra c'è una mucca", None),
        ("La risposta è a destra", None),
        ("C'è una mucca", None),
        ("D'accordo", None),
        ("E", None),
        ("un cavallo", None),
        ("Cavallo", None),
        ("", None),
    ],
)
def test_the_option_that_an_answer_names(answer, letter):
    assert read_letter(answer, "ABCD", CHOICES) == letter


ODD = [
    "",
    " ",
    "x" * 10_000,
    "(" * 10_000,
    "A " * 5_000,
    "risposta " * 2_000,
    "la risposta è " * 1_000 + "(((((((((",
    "B)" * 5_000,
    "\x00\x01\x1b[31m",
    "\u202e\u200d",
    "\ud800",
    "😀" * 100,
    "l'" * 3_000,
    "." * 10_000,
    "1,2" * 3_000,
]


@pytest.mark.parametrize("answer", ODD, ids=range(len(ODD)))
def test_odd_answers_are_read_quickly_and_count_as_nothing(answer):
    start = time.process_time()
    clean(answer), normalise(answer)
    assert read_yes_no(answer) is None
    assert read_letter(answer, "CD", CHOICES) is None
    assert time.process_time() - start < 0.5


@given(st.text(), st.sampled_from(["ABCD", "ABCDEFGH"]))
def test_reading_never_fails(text, letters):
    assert read_letter(text, letters, CHOICES) in {*letters, None}
    assert read_yes_no(text) in {"sì", "no", None}
    assert isinstance(normalise(text), str)
