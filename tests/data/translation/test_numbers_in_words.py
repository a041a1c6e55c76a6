"""Numbers, times and months that a translation says in its own way, changes, adds or swaps."""

from __future__ import annotations

from datetime import time

import pytest
from babel.dates import get_month_names
from hypothesis import given
from hypothesis import strategies as st
from num2words import num2words

from ndino.data.translation import rejection
from ndino.data.translation.checks.said_numbers import SaidNumbers, Words
from ndino.data.translation.kept_numbers import lost_number
from ndino.data.translation.other_numbers import added_number
from ndino.data.translation.rejection import TextChecks
from ndino.languages.language import language
from tests.properties import examples

CHECKS = {code: TextChecks(language("en"), language(code)) for code in ("it", "es")}

RIGHT = [
    ("it", "3:15", "le tre e un quarto"),
    ("it", "It is 3:30.", "Sono le tre e mezza."),
    ("it", "It is 15:30.", "Sono le 3 e mezza."),
    ("it", "It is 10:15.", "Sono le dieci e un quarto."),
    ("it", "It is 9:45.", "Sono le dieci meno un quarto."),
    ("it", "It is 9:45.", "Manca un quarto alle dieci."),
    ("it", "It is about 3:40.", "Sono circa le quattro meno venti."),
    ("it", "It is 12:30.", "È mezzogiorno e mezza."),
    ("it", "It is 5:45 PM.", "Sono le cinque e tre quarti."),
    ("it", "It is 5:45 PM.", "Sono le 5:45 del pomeriggio."),
    ("it", "It is 5:45 PM.", "Sono le 5.45 pomeridiane."),
    ("it", "It is 12:30 AM.", "Sono le 00:30."),
    ("it", "It is half past three.", "Sono le 3:30."),
    ("it", "It is a quarter to ten.", "Sono le 9:45."),
    ("it", "It takes an hour and a half.", "Dura un'ora e mezza."),
    ("it", "It takes 1.5 hours.", "Dura un'ora e mezza."),
    ("it", "It takes 90 minutes.", "Dura un'ora e mezza."),
    ("it", "It takes 30 minutes.", "Dura mezz'ora."),
    ("it", "2 1/2 hours", "due ore e mezza"),
    ("it", "Open 24 hours a day.", "Aperto 24 ore su 24."),
    ("it", "Open around the clock.", "Aperto 24 ore su 24."),
    ("it", "no people", "nessuna persona"),
    ("it", "0 people", "nessuna persona"),
    ("it", "half", "metà"),
    ("it", "1/2 of it", "metà"),
    ("it", "2/3 of them", "due terzi di loro"),
    ("it", "A quarter rest.", "Una pausa di 1/4."),
    ("it", "12 eggs", "una dozzina di uova"),
    ("it", "a dozen eggs", "12 uova"),
    ("it", "three and a half million people", "3,5 milioni di persone"),
    ("it", "3.5 million people", "tre milioni e mezzo di persone"),
    ("it", "It is worth 2.5 billion.", "Vale 2.500 milioni."),
    ("es", "It is worth 2.5 billion.", "Vale 2500 millones."),
    ("es", "It is 3:30.", "Son las tres y media."),
    ("es", "It is 9:45.", "Son las diez menos cuarto."),
    ("es", "0 people", "ninguna persona"),
    ("es", "12 eggs", "una docena de huevos"),
    ("it", "World War II", "la 2ª guerra mondiale"),
    ("it", "the sixties and the 1990s", "gli anni '60 e '90"),
    ("it", "A penny ($.01).", "Un penny ($ 0,01)."),
    ("it", "twenty-five people", "25 persone"),
    ("it", "a 20-year-old man", "un ventenne"),
    ("it", "It is ten to five.", "Sono le cinque meno dieci."),
    ("it", "On Monday and Sunday", "Lunedì e domenica"),
    ("it", "from 9 AM to 5 PM", "dalle nove di mattina alle cinque del pomeriggio"),
    ("it", "In March I was 5.", "A marzo avevo 5 anni."),
    ("it", "on 12/05/2021", "il 5 dicembre 2021"),
    ("it", "5 dogs and 3 cats, at 3:30 PM", "Alle 15:30, cinque cani e 3 gatti"),
    ("it", "At 8:45 there were 300 people.", "C'erano 300 persone alle 8:45."),
    ("it", "In 2014 3 people left.", "3 persone se ne andarono nel 2014."),
]
WRONG = [
    ("It is about 3:40.", "Sono circa le tre meno venti.", rejection.NUMBER_LOST),
    ("It is 3:30.", "Sono le quattro e mezza.", rejection.NUMBER_LOST),
    ("It is 5:45 PM.", "Sono le 5:45.", rejection.HALF_LOST),
    ("It is 12:30 AM.", "Sono le 12:30.", rejection.HALF_LOST),
    ("It closes at 8 PM.", "Chiude alle 8 di mattina.", rejection.HALF_LOST),
    ("It opens at 8 AM.", "Apre alle 8 di sera.", rejection.HALF_LOST),
    ("It opens on Monday.", "Apre di martedì.", rejection.OTHER_DAY),
    ("two million people", "due miliardi di persone", rejection.OTHER_SCALE),
    ("from 5 to 10 dogs", "da 10 a 5 cani", rejection.SWAPPED),
    ("The man is 30 and the woman is 25.", "L'uomo ha 25 anni e la donna 30.", rejection.SWAPPED),
    ("It opens on March 5.", "Apre il 5 maggio.", rejection.OTHER_MONTH),
    ("Sales of Jan 2020", "Vendite di giugno 2020", rejection.OTHER_MONTH),
    ("1,500 m", "1,5 m", rejection.NUMBER_LOST),
    ("eighteen dogs", "otto cani", rejection.OTHER_NUMBER),
    ("There are twenty-five dogs.", "Ci sono trentacinque cani.", rejection.OTHER_NUMBER),
    ("eighteen dogs", "8 cani", rejection.NUMBER_ADDED),
    ("A dog and a cat.", "37 cani e un gatto.", rejection.NUMBER_ADDED),
    ("3 dogs and 5 cats", "5 cani e 3 gatti", rejection.SWAPPED),
    ("3 dogs and 5 cats", "cinque cani e tre gatti", rejection.SWAPPED),
    ("3 dogs, 5 cats and 7 birds", "5 cani, 3 gatti e 7 uccelli", rejection.SWAPPED),
    ("The points (3, 4) and (5, 6).", "I punti (4, 3) e (5, 6).", rejection.SWAPPED),
    ("The score is 3:2.", "Il punteggio è 2:3.", rejection.SWAPPED),
    ("In Roma: 3, in Milano: 5.", "A Roma: 5, a Milano: 3.", rejection.SWAPPED),
]


@pytest.mark.parametrize(("code", "source", "target"), RIGHT)
def test_a_number_said_in_the_way_of_the_language_passes(code: str, source: str, target: str) -> None:
    assert CHECKS[code].rejection(source, target) is None


@pytest.mark.parametrize(("source", "target", "reason"), WRONG)
def test_another_number_is_rejected(source: str, target: str, reason: str) -> None:
    assert CHECKS["it"].rejection(source, target) == reason


@given(st.times(), st.sampled_from(["it", "es"]))
@examples(60)
def test_any_time_may_be_said_in_number_words(at: time, code: str) -> None:
    hour, minute = (num2words(number, lang=code) for number in (at.hour, at.minute or 10))
    source = f"{at.hour}:{at.minute or 10:02d}"
    assert lost_number(source, f"{hour} e {minute}", CHECKS[code].said) is None
    wrong = num2words((at.hour + 5) % 24, lang=code)
    assert lost_number(source, f"{wrong} e {minute}", CHECKS[code].said) is not None


@pytest.mark.parametrize("code", ["it", "es"])
def test_every_other_month_is_seen(code: str) -> None:
    ours, theirs = (get_month_names("wide", locale=each) for each in ("en", code))
    for number in range(1, 13):
        said = [
            CHECKS[code].rejection(f"It begins in {ours[number]}.", f"Comienza {theirs[other]}.")
            for other in range(1, 13)
        ]
        assert [other for other, reason in enumerate(said, 1) if reason != rejection.OTHER_MONTH] == [number]


def test_number_words_with_an_apostrophe_are_read() -> None:
    said = SaidNumbers(Words("uk"), Words("it"))
    assert added_number("Тут п'ятнадцять котів.", "Qui ci sono 15 gatti.", said) is None
    assert added_number("Тут п'ятнадцять котів.", "Qui ci sono 16 gatti.", said) == "16"


def test_an_ordinal_that_num2words_cannot_say_hides_no_other() -> None:
    # num2words raises KeyError for the thirtieth in Catalan.
    said = SaidNumbers(Words("ca"), Words("it"))
    assert added_number("el trenta-une dia", "il giorno 31", said) is None
    assert added_number("el trenta-une dia", "il giorno 32", said) == "32"


def test_without_words_of_a_language_its_numbers_are_only_digits() -> None:
    assert TextChecks().rejection("There are 3 dogs.", "Ci sono 3 cani.") is None
    assert TextChecks().rejection("There are 3 dogs.", "Ci sono tre cani.") == rejection.NUMBER_LOST
