"""Every reason for which a translated text is rejected, and what passes."""

from __future__ import annotations

import sys
import time
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ndino.data.translation import rejection
from ndino.data.translation.pair_line import Expected, Parts, exact_answer, expected_of, read_line
from ndino.data.translation.rejection import TextChecks
from ndino.languages.language import language

ITALIAN = TextChecks(language("en"), language("it"))
LONG = "The man in the red jacket is standing next to a bicycle and looking at the camera."
KITCHEN = (
    "There is a large kitchen with wooden cabinets and a white stove in the middle of the room. "
    "A woman with a green apron is cutting vegetables on the counter."
)
CUCINA = "C'è una grande cucina con armadietti di legno e una stufa bianca al centro della stanza."

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
    ("2.", "due"),
    ("There are 25 dogs.", "Ci sono venticinque cani."),
    ("21 years old", "ventun anni"),
    ("21", "ventuno"),
    ("10,000 people", "diecimila persone"),
    ("2,000,000 people", "2 milioni di persone"),
    ("It is 3:30 PM.", "Sono le 15:30."),
    ("It opens at 9 a.m. today.", "Oggi apre alle nove."),
    ("on 12/05/2021", "il 5 dicembre 2021"),
    ("World War 2", "Seconda guerra mondiale"),
    ("It costs $20 or €15.", "Costa 20 dollari o quindici euro."),
    ("It is raining.", "Piove."),
    ("Little by little", "A poco a poco"),
    ('The sign says "Keep off the grass" there.', 'Il cartello lì dice "Keep off the grass".'),
    ("Where does Mr Smith live now?", "Dove abita adesso il sig. Smith?"),
    ("The sign says 出口 near the door.", "Vicino alla porta il cartello dice 出口."),
    ("Written by", "Scritto da"),
    (
        "He watched The Lord of the Rings: The Return of the King.",
        "Ha visto The Lord of the Rings: The Return of the King.",
    ),
    ('It says "keep off the grass and the flowers" there.', "Lì dice «keep off the grass and the flowers»."),
    ("About 50% of them wear hats.", "Circa il 50 per cento di loro porta il cappello."),
    ("The temperature is -5 degrees.", "La temperatura è di meno cinque gradi."),
    ("The temperature is -5 degrees.", "Ci sono 5 gradi sotto zero."),
    ("It is worth 2.5 billion.", "Vale 2,5 miliardi."),
    ("Sure! Here is a recipe for you.", "Certo! Ecco una ricetta per te."),
    ("I'm sorry, but I cannot see the image.", "Mi dispiace, ma non posso vedere l'immagine."),
    ("The translation is at the bottom.", "La traduzione è in basso."),
    ("Let me know if you need anything else.", "Fammi sapere se hai bisogno di altro."),
    ('"Stop" is on one sign, on the other "Go".', '"Stop" è su un cartello, sull\'altro "Vai".'),
    ("'Stop!'", '"Stop!"'),
    ("very very very good", "buonissimo"),
    (
        "There are 234,567 people here.",
        "Qui ci sono duecentotrentaquattromilacinquecentosessantasette persone.",
    ),
    ("In triangle ABC, angle A is 60 degrees.", "Nel triangolo ABC, l'angolo A è di 60 gradi."),
    ("It opens at 9 AM and closes at 5 PM.", "Apre alle 9 di mattina e chiude alle 5 di sera."),
    ("It opens at 9 AM and closes in the evening.", "Apre alle 9 e chiude di sera."),
    ("From 3 PM to 5 PM.", "Dalle 3 alle 5 del pomeriggio."),
    ("It is 3:30 in the afternoon.", "Sono le 15:30."),
    ("At 3 in the afternoon and at 10 at night.", "Alle 15 e alle 22."),
    ("Is it 6 AM or 6 PM?", "Sono le 6 o le 18?"),
    ("6 AM; 6 PM; 7 AM; 7 PM", "le 6; le 18; le 7; le 19"),
    ("Add 1/2 cup of sugar and 2 eggs.", "Aggiungi mezza tazza di zucchero e 2 uova."),
    ("Add 1/2 cup of sugar and 2 eggs.", "Aggiungi ½ tazza di zucchero e 2 uova."),
    ("It is noon.", "È mezzogiorno."),
    ("- The dog is big.", "- Il cane è grande."),
    ("Wait...", "Aspetta..."),
    ("Human bodies are weak.", "Human body è un'espressione per il corpo."),
    ("Model trains run.", "Modellini di treni corrono."),
    ("Tower Bridge, London.", "Tower Bridge, Londra."),
    ("It is The Lord of the Rings.", "È The Lord of the Rings."),
    ("Chicago Bulls", "Chicago Bulls"),
    ("A Man Riding A Wave On A Surfboard.", "Un Uomo Che Cavalca Un'Onda Su Una Tavola."),
    ("Apply a patch and/or a fix", "Applica una patch e/o una correzione"),
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
    ("What is the man holding?", "What is the man holding?", rejection.COPY),
    ("A laptop computer. Tap. Tap. Tap.", "A laptop computer. Tap. Tap. Tap.", rejection.COPY),
    ("What is he holding?", "Che cosa is he holding?", rejection.COPY),
    ("What is the man holding?", "Que tient l'homme dans sa main ?", rejection.LANGUAGE),
    ("What is the man holding?", "¿Qué sostiene el hombre en la mano?", rejection.LANGUAGE),
    ("What is the man holding?", "Что держит мужчина?", rejection.SCRIPT),
    ("What is the man holding?", "男性は何を持っていますか？", rejection.SCRIPT),
    ("A dog.", "Un cane. Un cane.", rejection.REPEATS),
    ("a dog", "un cane un cane un cane", rejection.REPEATS),
    ("A man is riding a horse.", "Un.", rejection.SHORT),
    ("A red car.", "Un.", rejection.END_LOST),
    ("A man is riding a horse on the beach.", "Un uomo va a cavallo sulla", rejection.END_LOST),
    ("A dog.", "Un cane. È una bella giornata.", rejection.MORE),
    ("Is it a dog?", "È un cane? È una bella giornata.", rejection.MORE),
    ("a dog", "&quot;un cane&quot;", rejection.UNKNOWN_SIGNS),
    ("a dog", "un ⁇ane", rejection.UNKNOWN_SIGNS),
    ("Is it a dog?", "È un cane.", rejection.QUESTION_LOST),
    ("It costs $20.", "Costa 20 euro.", rejection.CURRENCY_LOST),
    ("It is 3:30 PM.", "Sono le 16:30.", rejection.NUMBER_LOST),
    ("The area is $A = b h$.", "L'area è $Un = b h$.", rejection.PLACEHOLDER_LOST),
    ("It is $y^2$ or y^2 there.", "Lì è $y^2$ o e^2.", rejection.PLACEHOLDER_LOST),
    ('<a href="x.html">A link</a>', '<un href="x.html">Un link</un>', rejection.PLACEHOLDER_LOST),
    ("Call range(3) here.", "Chiama gamma(3) qui.", rejection.PLACEHOLDER_LOST),
    (
        "In triangle ABC, angle A is right.",
        "Nel triangolo ABC, l'angolo Un è retto.",
        rejection.PLACEHOLDER_LOST,
    ),
    ("How long is side AC?", "Quanto è lungo il lato CA?", rejection.PLACEHOLDER_LOST),
    ("The point B is there.", "Il punto è lì.", rejection.PLACEHOLDER_LOST),
    (LONG, LONG.replace("The man", "Uomo").upper(), rejection.COPY),
    ("Is there a {shape} at <image>?", "C'è una {forma} in <image>?", rejection.PLACEHOLDER_LOST),
    ("Is there a dog?", "C'è un cane? <image>", rejection.PLACEHOLDER_LOST),
    ("See https://example.org/a?b=1.", "Vedi https://esempio.org/a?b=1.", rejection.PLACEHOLDER_LOST),
    ("There are 12 dogs.", "Ci sono dei cani.", rejection.NUMBER_LOST),
    ("There are 3 dogs and 3 cats.", "Ci sono 3 cani e dei gatti.", rejection.NUMBER_LOST),
    ("It is 1.5 m high.", "È alto 15 m.", rejection.NUMBER_LOST),
    ("There are 2 dogs and 2 cats.", "Ci sono due cani e gatti.", rejection.NUMBER_LOST),
    ("1,234 people", "1.235 persone", rejection.NUMBER_LOST),
    (KITCHEN, f"{CUCINA} A woman with a green apron is cutting vegetables on the counter.", rejection.COPY),
    (KITCHEN, f"{CUCINA} Una mujer con un delantal verde está cortando las verduras.", rejection.LANGUAGE),
    (LONG, "L'uomo con la giacca rossa is standing next to a bicycle e guarda.", rejection.COPY),
    ("About 50% of them wear hats.", "Circa 50 di loro portano il cappello.", rejection.PERCENT_LOST),
    ("The temperature is -5 degrees.", "La temperatura è di 5 gradi.", rejection.MINUS_LOST),
    ("It is worth 2.5 billion.", "Vale 2,5 milioni.", rejection.OTHER_SCALE),
    ("2 million people", "2 miliardi di persone", rejection.OTHER_SCALE),
    ("A red dog.", "Traduzione: Un cane rosso.", rejection.CHATTER),
    (LONG, "Certo! Ecco la traduzione: Un uomo guarda l'obiettivo.", rejection.CHATTER),
    (LONG, "Mi dispiace, ma non posso tradurre questo testo.", rejection.CHATTER),
    (LONG, "Non posso tradurre questo testo perché è inappropriato.", rejection.CHATTER),
    ("A red dog runs.", "«Un cane rosso corre.»", rejection.QUOTES),
    ("A red dog runs.", '"Un cane rosso corre".', rejection.QUOTES),
    ("A red dog runs.", "**Un cane rosso corre.**", rejection.QUOTES),
    ("The city is beautiful.", "La cittÃ  Ã¨ bella.", rejection.UNKNOWN_SIGNS),
    ("The man looks at it.", "Lâ€™uomo lo guarda, è lì.", rejection.UNKNOWN_SIGNS),
    ("A red dog runs.", "Un▁cane rosso corre.", rejection.UNKNOWN_SIGNS),
    ("A red dog is here.", "Un cane rosso <0xC3><0xA8> qui.", rejection.UNKNOWN_SIGNS),
    ("A red dog runs.", "Un cane \u200brosso corre.", rejection.UNKNOWN_SIGNS),
    ("A red dog runs.", "\u202eUn cane rosso corre.", rejection.UNKNOWN_SIGNS),
    (
        "It opens at 9 AM and closes at 5 PM.",
        "Apre alle 9 di sera e chiude alle 5 di mattina.",
        rejection.HALF_LOST,
    ),
    ("It is 3 in the afternoon.", "Sono le 3 del mattino.", rejection.HALF_LOST),
    ("It is noon.", "È mezzanotte.", rejection.HALF_LOST),
    ("Add 1/2 cup of sugar and 2 eggs.", "Aggiungi mezza tazza di zucchero e uova.", rejection.NUMBER_LOST),
    ("The dog is big.", "assistant Il cane è grande.", rejection.QUOTES),
    ("The dog is big.", "Human: Il cane è grande.", rejection.QUOTES),
    ("The dog is big.", "*Il cane è grande.*", rejection.QUOTES),
    ("The dog is big.", "- Il cane è grande.", rejection.QUOTES),
    ("The dog is big.", "Il cane è grande..", rejection.QUOTES),
    ("big", "[grande]", rejection.QUOTES),
    ("Playing Tennis On The Beach.", "Playing Tennis On The Beach.", rejection.COPY),
    ("A Man Riding A Wave On A Surfboard.", "A Man Riding A Wave On A Surfboard.", rejection.COPY),
    ("Yellow And Black.", "Yellow And Black.", rejection.COPY),
    ("Nice. A Photo Of Two Cats.", "Bello. A Photo Of Two Cats.", rejection.COPY),
    ("A red dog runs on the beach.", "Uncanerossocorresullaspiaggia.", rejection.SPACES_LOST),
]


@pytest.mark.parametrize(("source", "target"), CORRECT)
def test_a_correct_translation_passes(source: str, target: str) -> None:
    assert ITALIAN.rejection(source, target) is None


@pytest.mark.parametrize(("source", "target", "reason"), WRONG)
def test_a_wrong_translation_is_rejected_with_its_reason(source: str, target: str, reason: str) -> None:
    assert ITALIAN.rejection(source, target) == reason


QUESTION = "Domanda: Chi vende il pane? Opzioni: (1) un insegnante; (2) un fornaio. Risposta: (2)."
CHOSEN = expected_of(Parts("Who sells bread?", ("a teacher", "a baker")), 1, None)


def verdict(line: str, parts: Parts, expected: Expected) -> str | None:
    reading = read_line(line, expected, language("it"))
    failed = rejection.pair_rejections(reading, expected, language("it"), ITALIAN.said)
    return failed[0] if failed else ITALIAN.part_rejection(parts, reading.parts, expected)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (QUESTION, None),
        (QUESTION.replace("Risposta: (2)", "Risposta: (2) un fornaio"), None),
        (QUESTION.replace("Risposta: (2)", "Risposta: 2)"), None),
        (QUESTION.replace("(1)", "1)").replace("(2)", "2)"), None),
        (QUESTION.replace("Risposta: (2)", "Risposta: (1) un insegnante"), rejection.ANSWER),
        (QUESTION.replace("Risposta: (2)", "Risposta: (2) un insegnante"), rejection.ANSWER),
        (f"Domanda: {QUESTION}", rejection.MARKER),
        (QUESTION.replace("fornaio.", "fornaio; un medico."), rejection.MORE_OPTIONS),
        (QUESTION.replace("fornaio.", "fornaio, un medico."), rejection.MORE_OPTIONS),
        (QUESTION.replace("un insegnante", "a teacher").replace("un fornaio", "a baker"), rejection.COPY),
        (QUESTION.replace("Chi vende il pane", "Who sells bread"), rejection.COPY),
        (QUESTION.replace("pane?", "pane? Non lo so."), rejection.MORE),
        (QUESTION.replace("pane?", "pane."), rejection.QUESTION_LOST),
    ],
)
def test_the_texts_of_a_pair_are_checked_one_by_one(line: str, reason: str | None) -> None:
    parts = Parts("Who sells bread?", ("a teacher", "a baker"))
    assert verdict(line, parts, CHOSEN) == reason


@pytest.mark.parametrize(
    ("given", "there", "reason"),
    [
        (("Kitchen", "Bathroom", "Bedroom", "Garage"), None, rejection.COPY),
        (("Fire hydrant", "Stop sign", "Tree", "Bench"), None, rejection.COPY),
        (
            ("Kitchen", "Bathroom", "Bedroom", "Garage"),
            ("Cucina", "Bathroom", "Bedroom", "Garage"),
            rejection.COPY,
        ),
        (("Kitchen", "Bathroom"), ("Cucina", "Bagno"), None),
        (("Tennis", "Golf", "Rugby", "Polo"), None, None),
        (("New York", "New Hampshire", "Massachusetts"), None, None),
        (("Paris", "London", "Rome"), ("Parigi", "Londra", "Roma"), None),
    ],
)
def test_a_capital_at_its_beginning_makes_no_option_a_name(
    given: tuple[str, ...], there: tuple[str, ...] | None, reason: str | None
) -> None:
    parts = Parts("Che cosa è?", there or given)
    assert (
        ITALIAN.part_rejection(Parts("What is it?", given), parts, Expected(len(given), choice=0)) == reason
    )


@pytest.mark.parametrize(
    ("separator", "reason"), [(mark, None) for mark in ",;،؛"] + [(" /", "more"), (" -", "more")]
)
def test_what_separates_options_is_no_part_of_them(separator: str, reason: str | None) -> None:
    line = QUESTION.replace("insegnante;", f"insegnante{separator}")
    parts = Parts("Who sells bread?", ("a teacher", "a baker"))
    assert read_line(line, CHOSEN, language("it")).parts.options[1] == "un fornaio"
    assert verdict(line, parts, CHOSEN) == (reason and rejection.MORE_OPTIONS)
    if reason is None:
        assert read_line(line, CHOSEN, language("it")).parts.options[0] == "un insegnante"


@pytest.mark.parametrize(
    ("there", "reason"),
    [
        (("Sì", "No", "Forse"), None),
        (("Certo", "No", "Forse"), None),
        (("No", "Sì", "Forse"), rejection.ORDER),
        (("Forse", "No", "Sì"), rejection.ORDER),
        (("Sì", "Forse", "No"), rejection.ORDER),
    ],
)
def test_options_of_yes_and_no_keep_their_order(there: tuple[str, ...], reason: str | None) -> None:
    expected = Expected(3, choice=0)
    given = Parts("Is it on?", ("Yes", "No", "Maybe"))
    assert ITALIAN.part_rejection(given, Parts("È acceso?", there), expected) == reason


@pytest.mark.parametrize(
    ("answer", "said", "reason"),
    [
        ("2.", "due", None),
        ("1", "(1)", None),
        ("1", "(2)", rejection.ANSWER),
        ("21", "ventuno.", None),
        ("10:45", "le undici meno un quarto", None),
        ("10:45", "le undici", rejection.ANSWER),
        ("no", "Per niente.", None),
        ("25", "venticinque", None),
        ("2", "tre", rejection.ANSWER),
        ("2", "due cani", rejection.ANSWER),
        ("yes", "Certo", None),
        ("yes", "Sì, è così.", None),
        ("yes", "No, certo.", rejection.ANSWER),
        ("no", "No, non lo è.", None),
        ("no", "Certo", rejection.ANSWER),
        ("a dog", "un cane. Un cane", rejection.REPEATS),
        ("a dog", "un cane, un cane, un cane", rejection.REPEATS),
        ("a red dog", "Un.", rejection.END_LOST),
        ("a dog", "un cane. È una bella giornata", rejection.MORE),
        ("a dog", "&quot;un cane", rejection.UNKNOWN_SIGNS),
    ],
)
def test_answers_that_the_source_gives_only_have_to_mean_the_same(
    answer: str, said: str, reason: str | None
) -> None:
    parts = Parts("What is it in the picture?", (), answer)
    expected = expected_of(parts, None, exact_answer(answer, language("en")))
    assert verdict(f"Domanda: Che cosa c'è nella foto? Risposta: {said}", parts, expected) == reason


def test_a_translation_that_was_cut_off_is_rejected() -> None:
    assert ITALIAN.rejection("A dog.", None) == rejection.BROKEN_OFF


def test_a_short_text_in_wide_characters_is_not_too_short() -> None:
    assert TextChecks().rejection("a train", "火车") is None


@pytest.mark.parametrize(
    ("lang", "right", "wrong"),
    [
        ("es", "¿Qué sostiene el hombre en la mano?", "Che cosa tiene in mano l'uomo?"),
        ("it", "Che cosa tiene in mano l'uomo?", "¿Qué sostiene el hombre en la mano?"),
    ],
)
def test_the_language_is_the_one_translated_to(lang: str, right: str, wrong: str) -> None:
    checks = TextChecks(language("en"), language(lang))
    assert checks.rejection("What is the man holding in his hand?", right) is None
    assert checks.rejection("What is the man holding in his hand?", wrong) == rejection.LANGUAGE


@pytest.mark.parametrize(
    ("source", "target", "reason"),
    [
        ("It is 50% of it.", "إنها ٥٠٪ منها.", None),
        ("There are 1000 people in it.", "يوجد فيها ١٬٠٠٠ شخص.", None),
        ("It costs $1,250.75 today.", "يكلف اليوم ١٬٢٥٠٫٧٥ دولار.", None),
        ("It is at 3:30 PM today.", "إنه اليوم الساعة ٣:٣٠ مساءً.", None),
        ("There are 1000 people in it.", "يوجد فيها ٢٬٠٠٠ شخص.", rejection.NUMBER_LOST),
        ("It weighs 3.5 kg today.", "يزن اليوم ٣٫٦ كغ.", rejection.NUMBER_LOST),
        ("It is 50% of it.", "إنها ٥٠ منها.", rejection.PERCENT_LOST),
    ],
)
def test_numbers_are_compared_in_the_digits_of_any_script(
    source: str, target: str, reason: str | None
) -> None:
    arabic = TextChecks(language("en"), replace(language("it"), code="ar"))
    assert arabic.rejection(source, target) == reason


def test_number_words_are_those_of_the_target_language() -> None:
    assert (
        TextChecks().rejection("There are 2 dogs in the picture.", "Ci sono due cani nella foto.")
        == rejection.NUMBER_LOST
    )


@given(st.text(max_size=200), st.text(max_size=200))
@example("1" + "0" * 28, "0")
@example("1" * 5000, "uno")
@example("1" + "0" * 32, "5 1" + "0" * 32)
def test_any_text_gets_a_verdict(source: str, target: str) -> None:
    reasons = [reason for reason, _ in rejection.TEXT_CHECKS]
    assert ITALIAN.rejection(source, target) in {None, *reasons}


@pytest.mark.parametrize(
    "text",
    ["x" * 9000, "火车" * 4000, "1 + " * 2000, "a.b." * 2000, "f(1 " * 2000, "a\\ " * 2000, "a_" * 4000],
)
def test_long_texts_of_one_kind_take_no_longer_than_others(text: str) -> None:
    # In seconds, not in calls: what could explode is a regular expression, one call whatever it does. So
    # without a tracer, which stretches everything else threefold.
    tracer = sys.gettrace()
    sys.settrace(None)
    try:
        begun = time.process_time()
        ITALIAN.rejection(text, text)
        ITALIAN.rejection(text, text[::-1])
        seconds = time.process_time() - begun
    finally:
        sys.settrace(tracer)
    assert seconds < 5
