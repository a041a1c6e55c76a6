"""Answers in Arabic and Hebrew: their own punctuation, digits and marks, vowels that are left out."""

from __future__ import annotations

import pytest

from ndino.languages.letters import LetterReader
from ndino.languages.numerals import in_latin_digits
from ndino.languages.reading_words import ReadingWords
from ndino.languages.short_answers import ShortAnswerReader
from ndino.languages.yes_no import YesNoReader

ARABIC = ReadingWords(
    symbols={"%": ("بالمئة",)},
    yes=("نعم",),
    no=("لا",),
    denials=("لا", "ليست"),
    announcers=("الإجابة",),
    copulas=("هي",),
    right=("صحيح",),
    wrong=("خاطئ",),
)
HEBREW = ReadingWords(yes=("כֵּן",), no=("לא",), denials=("לא",), announcers=("התשובה",), copulas=("היא",))


@pytest.mark.parametrize(
    ("words", "answer", "meant"),
    [
        *(
            (ARABIC, answer, True)
            for answer in ("نعم", "نَعَمْ", "نعـــم", "نعم؟", "\u200fنعم، توجد", "الإجابةُ هي، نعم")
        ),
        *((ARABIC, answer, False) for answer in ("لا", "لَا", "الإجابةُ: لا")),
        *((HEBREW, answer, True) for answer in ("כן", "כֵּן", "התשובה היא כן")),
        *((HEBREW, answer, False) for answer in ("לא", "הַתְּשׁוּבָה הִיא לֹא")),
        (ARABIC, "ربما", None),
        (HEBREW, "אולי", None),
    ],
)
def test_yes_and_no_are_read_with_vowels_and_without(words, answer, meant):
    assert YesNoReader(words).first_word(answer) is meant


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("الإجابةُ هي B؟", "B"),
        ("A خاطئ، B صحيح", "B"),
        ("ليست A، الإجابة B", "B"),
        ("هل هي A؟ لا، هي B", "B"),
        ("A؛ B", None),
    ],
)
def test_options_are_read_between_arabic_punctuation(answer, letter):
    reader = LetterReader(ARABIC, ShortAnswerReader(ARABIC).same, YesNoReader(ARABIC).only_word)
    assert reader.read(answer, "ABCD") == letter


def test_a_sentence_ends_with_its_own_marks():
    denies = YesNoReader(ARABIC).denies
    assert denies("لا توجد") and denies("نعم، لا") and not denies("نعم؟ لا") and not denies("نعم۔ لا")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("٣٫٥", "3.5"),
        ("١٬٠٠٠", "1000"),
        ("١٢٬٥٠٠٫٧٥", "12,500.75"),
        ("۵۰٪", "50 %"),
        ("٥٠ بالمئة", "50٪"),
        ("فُنْدُق", "فـنـدق"),
        ("שָׁלוֹם", "שלום"),
        ("צה״ל", 'צה"ל'),
        ("צ׳ק", "צ'ק"),
    ],
)
def test_the_same_answer_in_another_spelling(one, other):
    assert ShortAnswerReader(ARABIC).same(one, other)


def test_other_letters_and_numbers_stay_apart():
    same = ShortAnswerReader(ARABIC).same
    assert not same("٣٫٥", "35") and not same("٣٫٥", "3") and not same("كتب", "كتاب")


def test_arabic_marks_are_those_of_the_language():
    assert in_latin_digits("١٬٢٥٠٫٧٥", ".") == "1,250.75"
    assert in_latin_digits("١٬٢٥٠٫٧٥", ",") == "1.250,75"
    assert in_latin_digits("२०२३ x² ½", ".") == "2023 x² ½"
