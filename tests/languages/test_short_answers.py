"""Short answers that mean the same, every form of a number, and long answers that contain a short one."""

from __future__ import annotations

import itertools

import pytest
from num2words import num2words

from ndino.languages.answers import reader
from ndino.languages.numerals import forms

# In each group every form means the same as every other one, and nothing of another group.
SAME = [
    [
        "rosso",
        "«rosso»",
        "Rosso.",
        "ros\u200bso",
        "rosso\x00",
        "il rosso",
        "È rosso",
        "E' rosso",
        "Risposta: rosso",
    ],
    [
        "La risposta è blu",
        "blu",
        "La risposta corretta è: blu",
        "Risposta: **blu**",
        "Risposta:\nblu",
        "Sono blu",
    ],
    ["l'orso", "l’orso", "orso", "un orso", "C'è un orso", "Si tratta di un orso", "Penso che sia un orso"],
    ["perché", "perchè", "perche\u0301"],
    ["città", "citta'", "CITTÀ"],
    ["U.S.A.", "USA"],
    ["non-fumatori", "non fumatori"],
    ["ﬁore", "fiore"],
    ["a casa"],
    ["casa"],
    ["dell'orso"],
    ["C++", "c++."],
    ["C", "c."],
    ["C#"],
    # numbers
    ["1", "uno", "una", "un", "1.0", "1,00", "numero uno", "il numero 1"],
    ["5", "cinque", "Cinque."],
    ["-5", "−5", "–5", "meno cinque", "meno 5"],
    ["21", "ventuno"],
    ["23 cani", "ventitré cani", "ventitre cani", "Ci sono 23 cani"],
    ["1000", "10³", "10^3", "1.000", "1 000", "1'000", "1\u00a0000", "mille"],
    ["2000", "duemila", "2.000", "2mila", "2 mila"],
    ["1990", "millenovecentonovanta"],
    ["2", "2,000", "2,0", "+2", "Sono +2"],
    ["1.000.000", "1,000,000", "1000000", "un milione", "1 milione"],
    ["1,5", "1,500", "1.5"],
    ["1500", "1.500"],
    ["2.500.000", "2,5 milioni"],
    ["3,5", "3.5", "3,50", "3.50", "03,5"],
    ["35"],
    [".7", "0,7", "0.70"],
    ["1.234,50", "1,234.50", "1234,5", "1 234,5"],
    ["12:30", "12h30", "ore 12:30", "12:30 ore"],
    ["12:03"],
    ["1230"],
    ["0:30"],
    ["09:15", "9:15"],
    ["007"],
    ["7"],
    ["12/05/2020", "12-5-2020", "12.05.2020"],
    ["2.0.1"],
    ["201"],
    ["6 €", "€6", "€ 6,00", "6 euro", "sei euro", "EUR 6"],
    ["6 $", "$6", "US$ 6", "US$6", "6 dollari", "6 USD", "Risposta: $6"],
    ["50%", "50 %", "50 percento", "cinquanta per cento"],
    ["20°", "20 gradi", "venti gradi"],
    ["5km", "5 km"],
    # powers and fractions
    ["9³", "9^3", "9**3", "9^{3}", "729"],
    ["93"],
    ["10⁻³", "10^-3"],
    ["10²³", "10^23"],
    ["10₂"],
    ["102"],
    ["2½", "2 1/2", "2,5"],
    ["2⅓", "2 1/3"],
    ["21/2", "21⁄2"],
    ["21/3"],
    ["½", "1/2"],
    ["H₂O", "H2O"],
    # scales with a currency
    ["3 milioni di euro", "3000000 €", "€ 3 milioni", "tre milioni di euro"],
    ["4000 euro", "€ 4 mila", "4 mila euro", "quattromila euro"],
    ["€"],
    ["$"],
]
PAIRS_WITH_SEVERAL_READINGS = [
    ("12.30", "12:30"),
    ("12.30", "12,3"),
    ("12.30 ore", "12:30"),
    ("u\u03000¼", "ù0¼"),
]
# Units in every spelling: of a number with each nothing else is the same, least of all the bare number.
UNITS = [
    *(["€", "euro", "EUR"], ["$", "dollari"], ["£", "sterline"], ["%", "per cento", "percento"]),
    *(["°", "gradi"], ["°C", "gradi centigradi", "gradi Celsius"], ["h", "ore"], ["min", "minuti"]),
    *(
        ["s", "secondi"],
        ["km", "chilometri", "Km"],
        ["m", "metri"],
        ["cm", "centimetri"],
        ["mm", "millimetri"],
    ),
    *(
        ["kg", "chili", "chilogrammi"],
        ["hg", "etti"],
        ["mg", "milligrammi"],
        ["t", "tonnellate"],
        ["V", "volt"],
        ["W", "watt"],
        ["g", "grammi"],
        ["l", "litri", "L"],
        ["ml"],
        ["cl"],
    ),
    *(
        ["km/h", "km / h", "chilometri orari", "chilometri all'ora", "chilometri/ora", "km orari"],
        ["m/s", "m / s"],
    ),
    *(
        ["m²", "mq", "metri quadrati"],
        ["m³", "metri cubi"],
        ["g/l", "grammi/litro"],
        ["km/s"],
        ["gatti"],
        ["m/s²"],
    ),
]
NUMBERS = ["5", "cinque", "5,0", "+5"]
COMPARED = {sign: (sign, f"{sign} ") for sign in "<≠~≈±≪"} | {
    ">": (">", "> ", "È > "),
    "≥": ("≥", "≥ ", ">=", ">= "),
    "≤": ("≤", "≤ ", "<=", "<= "),
}
NUMBERING = [
    "n. {}",
    "n.{}",
    "n° {}",
    "N° {}",
    "nº {}",
    "№ {}",
    "nr. {}",
    "num. {}",
    "numero {}",
    "Il numero {}",
]
COLOURED = [
    *(
        "di colore {}",
        "Di color {}",
        "È di colore {}",
        "Sono di colore {}.",
        "Il colore è {}",
        "il colore è il {}",
    ),
    *("Il colore è: {}", "Il suo colore è {}", "colore {}", "Colore: {}", "Risposta: di colore {}"),
]
CONTAINED = [
    ("Il gatto è rosso.", "rosso"),
    ("Nell'immagine si vede un gatto rosso su un tavolo", "gatto rosso"),
    ("Non è rosso, è blu", "blu"),
    ("Non è rosso ma blu", "blu"),
    ("Ci sono tre gatti", "3"),
    ("Costa 5 euro al chilo", "5 €"),
    ("Il cartello dice: vietato fumare.", "Vietato fumare"),
    ("vietato ai non fumatori", "non fumatori"),
    ("I colori sono rosso, bianco e verde", "rosso, bianco"),
    ("L'orario è 12.30 di sera", "12:30"),
    ("La squadra U.S.A. è in testa", "USA"),
]
NOT_CONTAINED = [
    ("Non è rosso, è blu", "rosso"),
    ("arrossire", "rosso"),
    ("Non c'è nessun gatto", "gatto"),
    ("Ci sono 13 gatti", "3"),
    ("Costa -5 euro", "5 €"),
    ("", "rosso"),
    ("rosso", "?"),
]


@pytest.mark.parametrize("group", SAME, ids=lambda group: group[0])
def test_what_means_the_same_is_the_same_and_nothing_else(group):
    same = reader("it").same
    assert [pair for pair in itertools.permutations(group, 2) if not same(*pair)] == []
    others = [text for other in SAME if other is not group for text in other]
    assert [text for text in others if same(group[0], text)] == []


@pytest.mark.parametrize(("one", "other"), PAIRS_WITH_SEVERAL_READINGS)
def test_a_number_may_have_several_readings(one, other):
    assert reader("it").same(one, other) and reader("it").same(other, one)


def spelled(names: list[str]) -> list[str]:
    """A 5 with a unit in every spelling; only signs stand without a blank or before the number."""
    spellings = [f"{number} {name}" for number in NUMBERS for name in names]
    return [*spellings, *(f"5{name}" for name in names if len(name) < 4)]


@pytest.mark.parametrize("names", UNITS, ids=lambda names: names[0])
def test_a_unit_counts_in_every_spelling(names):
    same, written = reader("it").same, spelled(names)
    assert [pair for pair in itertools.permutations(written, 2) if not same(*pair)] == []
    others = [f"5 {name}" for other in UNITS if other is not names for name in other]
    assert [(text, other) for text in written for other in (*others, *NUMBERS) if same(text, other)] == []
    # The speed of "5 km/h" does not contain the way "5 km".
    contains = reader("it").contains
    assert [other for other in others if contains(f"Segna 5 {names[0]} in tutto", other)] == []
    assert contains(f"Segna 5 {names[0]} in tutto", written[0])


@pytest.mark.parametrize("name", ["metro", "etto", "grado", "secondo", "ora"])
def test_a_unit_is_a_word_where_there_is_no_number(name):
    assert reader("it").same(f"il {name}", name)
    assert not any(reader("it").same(name, names[0]) for names in UNITS if names[0] not in "°h")


@pytest.mark.parametrize("number", ["5", "-5", "5 km", "€ 5", "5 €"])
@pytest.mark.parametrize("sign", COMPARED)
def test_what_compares_a_number_counts(sign, number):
    answers = reader("it")
    for said in (f"{written}{number}" for written in COMPARED[sign]):
        assert not answers.same(said, number) and not answers.contains(f"Costa {said} in tutto", number)
        same = [
            other for other in COMPARED for each in COMPARED[other] if answers.same(said, f"{each}{number}")
        ]
        assert same == [sign] * len(COMPARED[sign])


@pytest.mark.parametrize("number", ["5", "12", "1.000", "5 km"])
@pytest.mark.parametrize("wording", NUMBERING)
def test_what_only_announces_a_number_adds_nothing(wording, number):
    assert reader("it").same(wording.format(number), number) and not reader("it").same(
        wording.format(number), "6"
    )


@pytest.mark.parametrize("colour", ["rosso", "verde scuro", "giallo e blu", "bianco"])
@pytest.mark.parametrize("wording", COLOURED)
def test_a_colour_may_be_called_one(wording, colour):
    same, said = reader("it").same, wording.format(colour)
    assert same(said, colour) and not same(said, "nero")
    assert not same(said.replace(colour, f"non {colour}"), colour)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *(
            ("due", "tre"),
            ("rosso", "rossi"),
            ("il", ""),
            ("Non è rosso", "rosso"),
            ("A+", "A"),
            ("3+2", "32"),
        ),
        *(("10-5", "105"), ("3/4", "34"), ("5 milioni", "5"), ("sì", "sette"), ("Alternative rock", "rock")),
        *(
            ("lettera d'amore", "amore"),
            ("Solo\nper te", "per te"),
            ("50%", "50 €"),
            ("gatto", "gatto €"),
            ("12:30", "12,3"),
            ("?", "!"),
            ("circa 5", "5"),
            ("5+", "5"),
            ("3 +2", "3 2"),
            ("metro", "m"),
            ("L", "litri"),
        ),
    ],
)
def test_what_means_something_else_stays_different(one, other):
    assert not reader("it").same(one, other)


def test_every_number_in_words_is_its_digits():
    numbers = [*range(120), 180, 200, 999, 1000, 1001, 1861, 2023, 9999, 10_000, 100_000, 1_000_000]
    wrong = [n for n in numbers if not reader("it").same(num2words(n, lang="it"), str(n))]
    assert wrong == []
    assert not reader("it").same("ventuno", "22")


def test_points_and_commas_follow_the_language():
    assert forms("1.000", ",") == [{"1000"}] and forms("1.000", ".") == [{"1"}]
    assert forms("1,000", ".") == [{"1000"}] and forms("1,000", ",") == [{"1"}]
    assert forms("1,000,000", ",") == forms("1.000.000", ".") == [{"1000000"}]
    assert forms("2,5", ".") == [{"2.5"}]
    assert forms("12.30", ",") == [{"12.3", "12:30"}] and forms("12.99", ",") == [{"12.99"}]
    assert forms("1.2.3", ",") == [{"1"}, {"2"}, {"3"}]


@pytest.mark.parametrize(("answer", "target"), CONTAINED)
def test_a_longer_answer_contains_a_short_one(answer, target):
    assert reader("it").contains(answer, target)


@pytest.mark.parametrize(("answer", "target"), NOT_CONTAINED)
def test_parts_of_words_and_denied_words_are_not_contained(answer, target):
    assert not reader("it").contains(answer, target)
