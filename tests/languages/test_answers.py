"""What holds for reading any answer, and for any language's words."""

from __future__ import annotations

import unicodedata

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ndino.languages import language as languages
from ndino.languages.answers import AnswerReader, reader
from ndino.languages.language import LanguageError, language
from ndino.languages.text import clean
from tests.work import calls_in

CHOICES = {"A": "un gatto", "B": "una mucca", "C": "il cane", "D": "tre topi"}
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
    "9" * 10_000,
    "-٣½²①" * 500,
    "non " * 3_000,
    "meno " * 3_000 + "5 milioni",
    "2½" * 5_000,
    "10^3" * 5_000,
]


@pytest.mark.parametrize("answer", ODD, ids=range(len(ODD)))
def test_odd_answers_count_as_nothing_after_bounded_work(answer):
    # A new reader: one that has read the answer before knows its words.
    answers, found = AnswerReader(language("it")), []

    def read() -> None:
        clean(answer), answers.same(answer, "rosso"), answers.contains(answer, "rosso")
        answers.denies(answer)
        found.extend((answers.yes_or_no(answer), answers.letter(answer, "CD", CHOICES)))

    # 840,000 for the longest; to look at every other word for each one takes 25 million.
    assert calls_in(read) < 1_500_000
    assert found == [None, None]


def test_the_work_for_many_crossed_out_letters_is_bounded():
    answers = reader("it")
    assert answers.letter("B ✗ " * 1_000, "ABCD") is None
    assert calls_in(lambda: answers.letter("B ✗ " * 1_000, "ABCD")) < 3_000_000


ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=60)


@given(ANY_TEXT, ANY_TEXT, st.sampled_from(["ABCD", "ABCDEFGH"]))
def test_reading_never_fails(text, other, letters):
    answers = reader("it")
    assert answers.letter(text, letters, CHOICES) in {*letters, None}
    assert answers.yes_or_no(text) in {True, False, None}
    assert answers.same(text, text) and answers.same(text, other) == answers.same(other, text)
    assert answers.contains(text, text)


@given(st.text() | st.text("nNàÀº°№ñ<>≠≥+-−/5.,km€hs ", max_size=12))
def test_the_unicode_form_does_not_count(text):
    assert reader("it").same(unicodedata.normalize("NFD", text), text)


# A made-up language that shares no word with Italian.
WORDS = {
    "decimal": ".",
    "articles": ["zu"],
    "one": ["zu"],
    "minus": ["mim"],
    "scales": {"kil": 1000},
    "numbering": ["nom"],
    "symbols": {"¤": ["kred"], "lo": ["longo"], "ti": ["tempo"]},
    "clock": ["ti"],
    "presenting": ["bo"],
    "yes": ["ja"],
    "yes_alone": ["jo"],
    "no": ["ne"],
    "denials": ["ne"],
    "excluding": ["exo"],
    "affirming": ["ne dub"],
    "breaks": ["sed"],
    "reasons": ["kar"],
    "joining": ["kaj", "aw"],
    "either": ["aw"],
    "word_letters": ["b"],
    "announcers": ["solv"],
    "copulas": ["es"],
    "leads": ["tu"],
    "right": ["korek"],
    "wrong": ["fals"],
    "behind_scales": ["ob"],
    "passives": ["iz"],
    "correcting": ["vel ne"],
}


@pytest.fixture
def made_up(tmp_path, monkeypatch):
    italian = yaml.safe_load((languages.FOLDER / "it.yaml").read_text(encoding="utf-8"))

    def write(words: dict | None, numbers: dict | None = None, num2words: str = "en") -> AnswerReader:
        codes = {"num2words": num2words}
        (tmp_path / "xx.yaml").write_text(
            yaml.dump(italian | {"reading": words, "number_words": numbers or {}, "codes": codes})
        )
        monkeypatch.setattr(languages, "FOLDER", tmp_path)
        language.cache_clear()
        return AnswerReader(language("xx"))

    yield write
    language.cache_clear()


def test_all_words_come_from_the_languages_file(made_up):
    answers = made_up(WORDS)
    assert [answers.yes_or_no(text) for text in ("Ja dom", "Jo.", "Jo dom", "solv es ne", "Sì", "No")] == [
        *(True, True, None, False, None, None)
    ]
    assert answers.denies("Tu ne dom. Ja") and not answers.denies("Non dom")
    for said, letter in [
        *(("Tu solv es B", "B"), ("B kar dom", "B"), ("B dom", None), ("A dom", "A"), ("solv ne es A", None)),
        *(
            ("exo A", None),
            ("ne A sed C", "C"),
            ("A es fals", None),
            ("A kaj C es korek", None),
            ("ne dub A", "A"),
        ),
        *(("La risposta è B", None), ("B aw dom", None)),
        *(("B (fals)", None), ("fals: B", None), ("B iz fals", None), ("solv es B, vel ne C", "C")),
    ]:
        assert answers.letter(said, "ABC") == letter, said
    for one, other in [
        *(
            ("zu dom", "dom"),
            ("bo dom", "dom"),
            ("twenty-one", "21"),
            ("mim 5", "-5"),
            ("3 kil", "3,000"),
            ("3 kil ob dom", "3,000 dom"),
        ),
        *(("¤5", "5 kred"), ("1,000.5", "1000.50"), ("nom 5", "5"), ("five longo/tempo", "5lo/ti")),
        *(("5:30 tempo", "5:30"),),
    ]:
        assert answers.same(one, other), (one, other)
    assert not answers.same("un gatto", "gatto") and not answers.same("venti", "20")
    assert answers.contains("tu dom", "dom") and not answers.contains("ne dom", "dom")


def test_a_language_that_num2words_does_not_know_lists_its_numbers(made_up):
    answers = made_up(WORDS, {"bat": 1, "bost": 5, "hogei-ta-bi": 22}, num2words="")
    assert answers.same("bost dom", "5 dom") and not answers.same("five", "5")
    assert answers.same("hogei ta bi", "22")
    with pytest.raises(LanguageError, match=r"num2words does not know 'zz' .*list number_words"):
        made_up(WORDS, num2words="zz")


def read_all(answers: AnswerReader) -> None:
    """Answers with every sign that a rule begins with."""
    for answer in ("nº 5 / 3", "№ 5", "1.000,5 m/s", "5 %", "l'a", "B (ne), C", "a", "jo"):
        assert answers.same(answer, answer) and answers.contains(answer, answer)
        assert answers.letter(answer, "ABC") in {*"ABC", None}
        assert answers.yes_or_no(answer) in {True, False, None} and answers.denies(answer) in {True, False}


@pytest.mark.parametrize("missing", WORDS)
def test_without_a_word_list_only_its_rule_does_nothing(made_up, missing):
    answers = made_up({name: words for name, words in WORDS.items() if name != missing})
    read_all(answers)
    assert answers.letter("B", "ABC") == "B" and answers.same("12,5", "12,50") and answers.same("DOM", "dom.")


def test_without_any_word_list_what_needs_no_words_is_read(made_up):
    answers = made_up({"yes": ["ja"]}, num2words="")
    read_all(answers)
    assert (answers.yes_or_no("Ja"), answers.letter("(C)", "ABC")) == (True, "C")
    assert answers.same("5", "5.0") and not answers.same("5", "6")


def test_words_that_yaml_reads_as_truth_values_and_a_language_without_words_are_refused(made_up):
    with pytest.raises(LanguageError, match=r"'xx': reading.wrong: YAML reads .* as False \(.*quotes"):
        made_up({**WORDS, "wrong": [False]})
    with pytest.raises(LanguageError, match="'xx': reading is missing"):
        made_up(None)
