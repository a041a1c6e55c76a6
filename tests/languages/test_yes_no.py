"""Every wording of yes and no, with and without a denial; POPE's own rule."""

from __future__ import annotations

import pytest

from ndino.languages.answers import reader

# {} is the word.
WORDINGS = [
    *(
        "{}",
        "{}.",
        "{}!",
        "«{}»",
        "**{}**",
        "({})",
        " {}\n",
        "{}, c'è",
        "{}\nVedo un cane.",
        "{} - c'è",
        "{}: c'è",
    ),
    *("La risposta è {}", "La risposta è: {}", "Risposta: {}", "Risposta:\n{}", "Direi di {}", "Penso di {}"),
    *("Assolutamente {}.", "Certamente, {}", "Senza dubbio {}", "Secondo me {}"),
]
YES, NO = ["sì", "Sì", "SÌ", "si\u0300", "sí", "si", "Si", "SI"], ["no", "No", "NO"]
DENIED = ["Non {}", "La risposta non è {}", "Non direi di {}", "Non penso di {}", "Non dico di {}."]
NEITHER = [
    *("", "forse", "non lo so", "nove", "sì e no", "No sì no sì", "No, sì", "Sì o no?", "Un cane. Sì"),
    *("C'è un gatto", "Non c'è un gatto"),
    # "si" is a pronoun here
    *("Si vede solo un gatto, nessun cane", "Si tratta di un gatto, non di un cane", "SI VEDE UN GATTO"),
    *("si può vedere una sedia", "Si nota un cane", "Si direbbe di no", "Nell'immagine si vede un cane"),
]


@pytest.mark.parametrize("wording", WORDINGS)
def test_the_first_word_says_yes_or_no_in_every_spelling(wording):
    read = reader("it").yes_or_no
    assert [read(wording.format(word)) for word in YES] == [True] * len(YES)
    assert [read(wording.format(word)) for word in NO] == [False] * len(NO)


def test_before_another_word_only_an_accent_makes_it_a_yes():
    read = reader("it").yes_or_no
    assert [read(f"{word} c'è un cane") for word in ("Sì", "si\u0300", "Si'", "No")] == [
        True,
        True,
        True,
        False,
    ]
    assert [read(f"{word} c'è un cane") for word in ("Si", "SI")] == [None, None]


@pytest.mark.parametrize("wording", DENIED)
def test_a_denied_yes_or_no_is_neither(wording):
    assert [reader("it").yes_or_no(wording.format(word)) for word in (*YES, *NO)] == [None] * 11


@pytest.mark.parametrize("answer", NEITHER)
def test_what_does_not_begin_with_either_is_neither(answer):
    assert reader("it").yes_or_no(answer) is None


@pytest.mark.parametrize(("text", "only"), [("Sì.", True), ("si", True), ("no", False), ("no smoking", None)])
def test_a_text_that_is_one_of_the_words_and_nothing_else(text, only):
    assert reader("it").only_yes_or_no(text) is only


# Right answers to "C'è un cane nell'immagine?" in the forms that models give.
SAYS_YES = [
    *(
        "Sì",
        "sì.",
        "Sì, c'è un cane.",
        "C'è un cane.",
        "Nell'immagine c'è un cane.",
        "Si vede un cane sul prato.",
    ),
    *(
        "Sì, nell'immagine si può vedere un cane. Non ci sono gatti.",
        "È presente un cane",
        "Certo, c'è un cane!",
    ),
]
SAYS_NO = [
    *("No", "no.", "No, non c'è un cane.", "Non c'è nessun cane.", "Nell'immagine non ci sono cani."),
    *(
        "Si vede solo un gatto, nessun cane",
        "Si tratta di un gatto, non di un cane",
        "Nessun cane è presente",
    ),
    "Non si vede alcun cane. C'è un gatto.",
]


def test_popes_own_rule_reads_verbose_answers():
    denies = reader("it").denies
    assert [denies(answer) for answer in SAYS_YES] == [False] * 9
    assert [denies(answer) for answer in SAYS_NO] == [True] * 9
    # As published, what denies nothing is a yes.
    assert not denies("") and not denies("boh")
    assert not denies("Un'annotazione sul nodo")
