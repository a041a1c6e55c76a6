"""Every wording of an option with every letter: read, denied, or no option at all."""

from __future__ import annotations

import pytest

from ndino.languages.answers import reader

LETTERS = "ABCDEF"
CHOICES = dict(
    zip(LETTERS, ["un gatto", "una mucca", "il cane", "tre topi", "il sole", "la luna"], strict=True)
)

# {} is the letter, TEXT its option's text, CAPITAL the same with a capital, OTHER another letter.
WORDINGS = [
    # the letter alone
    *("{}", "({})", "{})", "{}.", "[{}]", "**{}**", "«{}»", " {} \n", "\\boxed{{{}}}", "$\\boxed{{{}}}$"),
    *("'{}'", '"{}"', "{}!", "<{}>", "`{}`", "{}:", "{{{}}}"),
    # followed by its option
    *("{}) TEXT", "({}) TEXT", "{}. TEXT", "{}: TEXT", "{} - TEXT", "{} – TEXT", "{} CAPITAL", "{}\nTEXT"),
    *("{}. TEXT\n\nSpiegazione: l'opzione OTHER è diversa.", "{} (TEXT)", "{}) CAPITAL.", "**{}) TEXT**"),
    # followed by a reason, or by what says that it is right
    *(
        "{}\n\nSpiegazione: si vede bene.",
        "{}\n\nSpiegazione: l'opzione OTHER è diversa.",
        "{}, perché si vede",
    ),
    *(
        "{} perché si vede",
        "{} poiché OTHER è falsa",
        "{}, perché OTHER è altro",
        "{}, anche se OTHER è simile",
        "{} in quanto si vede",
        "{} è la risposta corretta.",
    ),
    *(
        "{} è corretta",
        "{} è la risposta giusta, OTHER no.",
        "L'opzione {} è corretta",
        "La {} è quella giusta",
    ),
    *(
        "L'opzione {} è la più adatta",
        "L'opzione {} descrive l'immagine",
        "L'opzione {} è quella che si vede",
    ),
    # announced
    *("La risposta è {}", "La risposta è {}.", "La risposta corretta è {}", "la risposta corretta è la ({})"),
    *("La risposta e' {}.", "Risposta: {}", "Risposta {}", "**Risposta:** {}", "Risposta: **{}**"),
    *("Risposta:\n{}", "Risposta:\n\n{}", "Opzione {}.", "l'opzione {} è corretta", "Lettera {}", "È la {}"),
    *(
        "È {}",
        "Direi {}",
        "Direi la {}",
        "Sceglierei la {}.",
        "Scelgo {}",
        "Penso che sia la {}",
        "Credo sia {}",
    ),
    *("La lettera corretta è {}", "L'opzione corretta è la lettera {}", "La risposta giusta: {}"),
    *("Quindi la risposta è {}", "La risposta è: {}", "La risposta è la lettera {} perché si vede"),
    *("Secondo me è {}", "Per me {}", "Sicuramente {}", "La risposta finale è {}", "Opzione corretta: {}"),
    *(
        "La risposta corretta è {} TEXT",
        "La risposta corretta è {}) TEXT",
        "La risposta corretta è {}: TEXT.",
    ),
    # beside others
    *("Le opzioni sono A, B, C e D. La risposta è {}.", "Tra A e B, la risposta è {}"),
    *("Risposta {}, perché OTHER è falsa", "La risposta è {}, non OTHER", "{}, non OTHER"),
    *(
        "La risposta è {} e non OTHER",
        "Non è OTHER, è {}",
        "Non è OTHER ma {}",
        "Non è la OTHER, bensì la {}",
    ),
    *("Escluderei OTHER: la risposta è {}",),
    # with a denial that denies nothing
    *("Non ho dubbi: {}", "Senza dubbio {}", "Non c'è dubbio che sia {}", "Non può che essere {}"),
]
SMALL = [
    *("{}", "({})", "{})", "{}.", "[{}]", "**{}**", "{}) TEXT", "({}) TEXT", "{}. TEXT", "La risposta è {}."),
    *("La risposta è {}", "opzione ({})", "opzione {}", "lettera {}.", "la risposta corretta è la ({})"),
    *("Risposta: {}", "risposta: {}."),
]
# The text of an option stands for its letter.
TEXTS = ["TEXT", "CAPITAL", "TEXT.", "La risposta è TEXT", "È TEXT", "C'è TEXT", "{} TEXT"]
DENIED = [
    *("La risposta non è {}", "Non è {}", "Non è la {}.", "Escluderei la {}", "Escludo {}", "non {}"),
    *("L'opzione {} non è corretta", "{} non è corretta", "{} è sbagliata", "La {} è errata", "{} è falsa"),
    *("L'opzione {} è da escludere", "Non direi {}", "Non credo che sia la {}", "Non può essere {}"),
    *(
        "Non mi sembra la {}",
        "{} no",
        "Tutte tranne {}",
        "Né {} né altro",
        "Nemmeno {}",
        "Non sceglierei la {}",
    ),
    *(
        "La risposta non è l'opzione {}.",
        "La risposta corretta non è la ({})",
        "Di certo non è {}",
        "L'opzione {}) non è corretta",
        "({}) non è giusta",
    ),
    *("L'opzione {} è sicuramente sbagliata.", "La {} non può essere", "Non è vero che la risposta è {}"),
    *("Né {} né OTHER", "Escluderei {} e OTHER", "Le opzioni {}, OTHER e F non sono corrette"),
]
# Rejected by a doubt, by "wrong" before or behind it, by a question that is answered, or by a cross.
REJECTED = [
    *("dubito che sia {}", "Dubito sia la {}", "Ho dei dubbi che sia {}", "Difficilmente è {}"),
    *("è improbabile che sia {}", "Impossibile che sia {}", "Impossibile {}", "È poco probabile che sia {}"),
    *("Difficile che sia {}", "La meno probabile è {}", "{} è la meno probabile", "{} è improbabile"),
    *("{} va esclusa", "la {} va scartata", "{} viene esclusa", "La {} è stata scartata", "{} la escludo"),
    *("L'opzione {} andrebbe eliminata", "La {} la scarterei", "{} è da escludere", "{} è inesatta"),
    *("Sbagliato: {}", "Errata: {}", "Risposta errata: {}", "Errata:\n{}", "La risposta sbagliata è {}"),
    *("È sbagliata la {}", "È falso che la risposta sia {}", "Da escludere: {}", "Escluderei: {}"),
    *("{} (errata)", "{} (sbagliata)", "{} (Errata)", "({}) (errata)", "**{}** (errata)", "{} errata"),
    *("{}: errata", "{}, errata", "{} - errata.", "{} (da scartare)", "{} (non è corretta)", "{} (no)"),
    *("{}? No", "{}? No.", "È {}? No", "{}? Impossibile", "{}? Sbagliato", "{}? Non credo", "{}? Non direi."),
    *(
        "{} ✗",
        "{} ❌",
        "{}: ❌",
        "{} ✖️",
        "{} (❌)",
        "❌ {}",
        "✗ {}",
        "La risposta è {} ❌",
        "Risposta: ❌ {}",
    ),
]
# What looks like a rejection of the letter confirms it, or is about another one.
CONFIRMED = [
    *(
        "{} (corretta)",
        "{} (giusta)",
        "{}: corretta",
        "{} ✓",
        "{} ✅",
        "✅ {}",
        "{}? Sì",
        "Non dubito che sia {}",
    ),
    *(
        "Nessun dubbio: {}",
        "Se non sbaglio è {}",
        "{}, se non sbaglio",
        "Sbagliato, è {}",
        "{} (A è sbagliata)",
    ),
    *("A è sbagliata e {} è giusta", "La A è sbagliata. {}", "La A è sbagliata, quindi {}", "☐ A ☑ {}"),
    *("{} (corretta), A (errata)", "Opzioni errate: A. Quindi {}", "L'affermazione falsa è {}", "{}? Certo"),
    *(
        "A ✗ {} ✓",
        "❌ A ✅ {}",
        "✅ {} ❌ A",
        "A ❌\n{} ✅",
        "Dubito che sia A, direi {}",
        "A va esclusa, quindi {}",
    ),
    *("È improbabile che sia A: {}", "A? No, {}", "A? No. {}"),
]
# The answer takes back its first letter.
CORRECTED = [
    *("La risposta è A. Cioè no, {}", "La risposta è A. No, {}", "La risposta è A. No, è {}", "A. Anzi, {}"),
    *("Risposta: A. Mi correggo: {}", "A, no aspetta, {}", "La risposta è A, cioè no, la {}"),
]
SEVERAL = [
    *(
        "{} o OTHER",
        "{} e OTHER",
        "{}) o OTHER)",
        "La risposta è {} o OTHER",
        "La risposta è {} oppure OTHER.",
    ),
    *("Le opzioni {} e OTHER sono corrette", "{}. TEXT OTHER. altro", "{}: TEXT, OTHER: altro", "{}\nOTHER"),
    *("{}. TEXT. OTHER. altro", "{}. TEXT\nOTHER. altro"),
    *("{}/OTHER", "La risposta è {}. La risposta è OTHER."),
]
# The letter is offered beside something else that is no letter.
OFFERED = [
    *(
        "{} oppure nessuna",
        "{} o nessuna",
        "{}, oppure nessuna delle precedenti",
        "({}) o nessuna",
        "{}) o nessuna",
    ),
    *(
        "La risposta è {} o nessuna.",
        "La risposta è la {} oppure un'altra",
        "L'opzione {} o nessuna",
        "{} o altro",
    ),
    *(
        "Forse {} o nessun'altra",
        "Nessuna o {}",
        "Nessuna oppure la {}",
        "Direi {} o niente",
        "Risposta: {} o boh",
    ),
    *("{} o forse nessuna", "La {} o tutte", "**{}** oppure nessuna"),
]
# The letter stands with the text of another option.
CONTRADICTORY = [
    *(
        "{} TEXT",
        "{} CAPITAL",
        "{}. TEXT",
        "{}) TEXT",
        "({}) TEXT",
        "{}: TEXT",
        "{} - TEXT",
        "{}\nTEXT",
        "{}\n\nTEXT",
    ),
    *(
        "{}, TEXT",
        "**{}** TEXT",
        "La risposta è {}: TEXT",
        "La risposta è {}) TEXT.",
        "Opzione {} TEXT",
        "TEXT ({})",
    ),
    *("{}. TEXT\n\nSpiegazione: si vede.", "Risposta: {}. CAPITAL.", "{} (TEXT)", "{} è TEXT"),
]
# Capitals that are parts of formulas, units, names and words.
NO_OPTION = [
    *(
        "F = ma",
        "F=ma",
        "E = mc²",
        "E=mc^2",
        "A + B = C",
        "F(x) = 2",
        "V = R I",
        "A → B",
        "B-12",
        "C++",
        "A+",
    ),
    *("20 °C", "25° C", "5 A", "CO₂", "Vitamina C", "Il punto A", "La forza F è uguale a ma", "nel 44 a.C."),
    *("J. C. Rossi", "C'è una pecora", "D'accordo", "un cavallo", "Cavallo", "Nessuna", "", "boh"),
    *("A destra c'è una mucca", "A Roma", "Risposta: A destra", "E poi", "E il cane?", "a destra", "e poi"),
    *("La risposta è a destra", "La risposta è e basta", "a) 3 b) 5", "A\nB\nC\nD", "la a e la b"),
    "A. gatto B. mucca C. cane D. topi",
]


def said(wording: str, letter: str) -> str:
    capital = letter.upper()
    text, other = CHOICES[capital], "C" if capital != "C" else "B"
    filled = wording.replace("TEXT", text).replace("CAPITAL", text[0].upper() + text[1:])
    return filled.replace("OTHER", other).format(letter)


def readings(wording: str, letters: str, with_choices: bool) -> list[str | None]:
    choices = CHOICES if with_choices else None
    return [reader("it").letter(said(wording, letter), LETTERS, choices) for letter in letters]


@pytest.mark.parametrize("with_choices", [True, False])
@pytest.mark.parametrize("wording", WORDINGS)
def test_every_letter_is_read_alike(wording, with_choices):
    assert readings(wording, LETTERS, with_choices) == [*LETTERS]


@pytest.mark.parametrize("with_choices", [True, False])
@pytest.mark.parametrize("wording", SMALL)
def test_every_small_letter_is_read_alike(wording, with_choices):
    assert readings(wording, LETTERS.lower(), with_choices) == [*LETTERS]


@pytest.mark.parametrize("wording", TEXTS)
def test_the_text_of_an_option_is_its_letter(wording):
    assert readings(wording, LETTERS, True) == [*LETTERS]


@pytest.mark.parametrize("wording", [*DENIED, *SEVERAL])
def test_a_denied_letter_names_nothing_and_nor_do_several(wording):
    for with_choices in (True, False):
        assert readings(wording, LETTERS[:5], with_choices) == [None] * 5


@pytest.mark.parametrize("wording", REJECTED)
def test_a_rejected_letter_names_nothing(wording):
    for with_choices in (True, False):
        assert readings(wording, LETTERS, with_choices) == [None] * 6


@pytest.mark.parametrize("wording", [*CONFIRMED, *CORRECTED])
def test_a_confirmed_or_correcting_letter_is_read(wording):
    for with_choices in (True, False):
        assert readings(wording, "BCDEF", with_choices) == [*"BCDEF"]


@pytest.mark.parametrize("text", ["Errata", "Sbagliata", "No", "Falsa"])
@pytest.mark.parametrize("wording", ["{} (TEXT)", "{}: TEXT", "{}) TEXT", "{} - TEXT", "{}. TEXT", "TEXT"])
def test_a_rejection_that_is_an_options_own_text_rejects_nothing(wording, text):
    choices = {"A": "Esatta", "B": text, "C": "Incerta"}
    assert reader("it").letter(wording.replace("TEXT", text).format("B"), "ABC", choices) == "B"


@pytest.mark.parametrize("wording", OFFERED)
def test_one_of_two_choices_is_not_chosen(wording):
    for with_choices in (True, False):
        assert readings(wording, LETTERS, with_choices) == [None] * 6


@pytest.mark.parametrize("wording", CONTRADICTORY)
def test_a_letter_with_the_text_of_another_option_is_not_read(wording):
    # The letter of an option with the text of each other one.
    found = {
        (letter, other): reader("it").letter(said(wording, other).replace(other, letter, 1), LETTERS, CHOICES)
        for letter in LETTERS
        for other in LETTERS
        if other != letter
    }
    assert {pair: letter for pair, letter in found.items() if letter is not None} == {}
    # Without the options' texts nothing contradicts it; A and E may be words before a small letter.
    assert wording == "TEXT ({})" or readings(wording, "BCDF", False) == [*"BCDF"]


@pytest.mark.parametrize("answer", NO_OPTION)
def test_letters_that_are_no_options_are_not_read(answer):
    assert reader("it").letter(answer, "ABCDEFGH") is None
    assert reader("it").letter(answer, LETTERS, CHOICES) is None


DENYING = ["No", "Nessuna delle precedenti", "Non si può dire", "Non è sbagliata", "È falsa"]
WITH_TEXT = [
    *(
        "{}. TEXT",
        "{}) TEXT",
        "({}) TEXT",
        "{} TEXT",
        "{}: TEXT",
        "{}, TEXT",
        "{} - TEXT",
        "{}\nTEXT",
        "TEXT",
    ),
    *(
        "La risposta è {}. TEXT",
        "Risposta: {}) TEXT",
        "TEXT ({})",
        "La risposta è {}: TEXT",
        "La risposta è TEXT",
    ),
]


@pytest.mark.parametrize("wording", WITH_TEXT)
@pytest.mark.parametrize("text", DENYING)
def test_a_denial_in_an_options_own_text_denies_nothing(wording, text):
    others = ["un gatto", "una mucca", "il cane", "tre topi", "il sole"]
    for letter in LETTERS:
        rest = iter(others)
        choices = {each: text if each == letter else next(rest) for each in LETTERS}
        answer = wording.replace("TEXT", text).format(letter)
        assert reader("it").letter(answer, LETTERS, choices) == letter
        # Without the options' texts, only what follows a letter can be told from a denial of it.
        if wording not in ("TEXT", "TEXT ({})", "La risposta è TEXT") and text[0] == "N":
            assert reader("it").letter(answer, LETTERS) == letter


def test_options_that_are_yes_and_no_are_read_by_the_first_word():
    choices = {"A": "Sì", "B": "No"}
    said = ["Sì, c'è un cane", "no, non c'è", "B) No, non c'è", "A sì", "Si vede un cane", "sì e no"]
    assert [reader("it").letter(answer, "AB", choices) for answer in said] == ["A", "B", "B", "A", None, None]


def test_a_letter_that_is_no_option_is_not_read():
    assert reader("it").letter("E", "ABCD", CHOICES) is None
    assert reader("it").letter("3 topi", "ABCD", CHOICES) == "D"
    # Two options with one text name none.
    assert reader("it").letter("un gatto", "AB", {"A": "un gatto", "B": "gatto"}) is None
