"""Does a translation say numbers that its source has not, or give two of them each other's place?"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from ndino.data.translation.checks.months import DATE, months_in
from ndino.data.translation.checks.said_numbers import (
    SaidNumbers,
    Words,
    WordsLeft,
    cardinals,
    further_words,
    tokens,
)
from ndino.data.translation.kept_numbers import (
    FRACTION,
    NUMBER,
    decimal_mark,
    parts_of,
    readings,
    touched,
    value_of,
)

_ROMAN = re.compile(r"(?<!\w)[IVXLC]{1,8}(?!\w)")
_ROMAN_VALUES = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100}
_HALF = Decimal("0.5")
_ALL_DIGITS = re.compile(r"\d+")
# Numbers with nothing but signs between them.
_ROW = re.compile(r"\d+(?:[^\w\n/]{1,3}\d+)+")
_LABELLED = re.compile(r"(?<!\w)([^\W\d_]\w*)(?:\s?[:=#]\s?|\s)(\d+)(?![\d\w])(?![.,]\d)")
_HUNDRED, _CLOCK, _HOUR = 100, 12, 60
_LONGEST = Decimal(10) ** 28  # `%` fails on more digits
_ENDS_CLAUSE = re.compile(r"[.!?:;()]")
JOINED_WORDS = 4  # words between two numbers of an enumeration at most, beside the one that joins


@dataclass(frozen=True)
class NumberPlace:
    """A number of a text, in digits or in words, with the values that it may have."""

    start: int
    end: int
    values: frozenset[Decimal]


def added_number(source: str, target: str, said: SaidNumbers) -> str | None:
    """The first number in digits of ``target`` that ``source`` says in no way, or None.

    It may say it in digits, words ("twenty", "a dozen", "half"), Roman numerals, or as a month. Digits next
    to a letter are not checked.
    """
    new = [number for number in NUMBER.finditer(target) if not touched(number) and number[0] not in source]
    if not new:
        return None
    known = _all_values(source, said)
    fractions = [found.span() for found in FRACTION.finditer(target) if value_of(found) in known]
    for number in new:
        if any(start <= number.start() < end for start, end in fractions):
            continue
        values = readings(number[0])
        scale = said.target.scale_at(target, number.end())
        values |= {value * scale for value in values}
        if not any(_explained(value, known) for value in values) and not all(
            _explained(part, known) for part in parts_of(number[0])
        ):
            return number[0]
    return None


def another_number(source: str, target: str, said: SaidNumbers) -> str | None:
    """The first number in words of ``target`` that ``source`` does not say, or None.

    Only where ``source`` has another one in words that is lost. One is not judged: it may be an article.
    """
    ours = _cardinals(source, said.source)
    if not any(value > 1 for place in ours for value in place.values):
        return None
    theirs = _cardinals(target, said.target)
    if not theirs:
        return None
    known = _all_values(source, said)
    added = [
        place for place in theirs if not any(value <= 1 or _explained(value, known) for value in place.values)
    ]
    if not added:
        return None
    there = _all_values(target, SaidNumbers(said.target, said.target))
    words = WordsLeft(said.target, target)
    lost = any(
        value > 1 and not _explained(value, there) and not words.says(value)
        for place in ours
        for value in place.values
    )
    return target[added[0].start : added[0].end] if lost else None


def swapped_numbers(source: str, target: str, said: SaidNumbers) -> bool:
    """Whether two numbers changed places where their order is pinned.

    Between two numbers are only signs, as in (3, 4) or 3:2; or the same word stands before each in both texts
    (A: 3, B: 5); or a word joins what they belong to (3 dogs and 5 cats, from 5 to 10).
    """
    if len(_ALL_DIGITS.findall(source)) >= 2 and (
        _rows_differ(source, target) or _labels_differ(source, target)
    ):
        return True
    # Ten to five is "le cinque meno dieci".
    if any(phrase in source.casefold() for phrase in said.source.before_hour):
        return False
    return any(_turned(pair, target, said.target) for pair in _joined(source, said.source))


def _rows_differ(source: str, target: str) -> bool:
    ours, theirs = _rows(source), _rows(target)
    return any(
        row not in ours and any(sorted(row) == sorted(other) and other not in theirs for other in ours)
        for row in theirs
    )


def _rows(text: str) -> list[tuple[int, ...]]:
    text = DATE.sub(" x ", text)
    return [tuple(map(int, _ALL_DIGITS.findall(found[0]))) for found in _ROW.finditer(text)]


def _labels_differ(source: str, target: str) -> bool:
    ours, theirs = _labels(source), _labels(target)
    both = [label for label in ours if label in theirs]
    moved = [label for label in both if ours[label] != theirs[label]]
    return len(moved) > 1 and sorted(ours[label] for label in moved) == sorted(
        theirs[label] for label in moved
    )


def _labels(text: str) -> dict[str, int]:
    """The numbers after words that have one once."""
    found = [(label.casefold(), int(number)) for label, number in _LABELLED.findall(text)]
    counts = Counter(label for label, _ in found)
    return {label: number for label, number in found if counts[label] == 1}


def _joined(source: str, words: Words) -> Iterator[tuple[NumberPlace, NumberPlace]]:
    """Pairs of numbers that belong to neighbouring parts of an enumeration, whose last two are joined by a
    word."""
    if not words.joining:
        return
    places = _places(source, words)
    pinned = False
    for one, other in reversed(list(itertools.pairwise(places))):
        between = source[one.end : other.start]
        row = between.casefold().split()
        joins = [word for word in row if word.strip(",") in words.joining]
        short = len(row) - len(joins) <= JOINED_WORDS and not _ENDS_CLAUSE.search(between)
        listed = pinned and not joins and re.search(r"\w,\s*\Z", between)
        pinned = short and bool(listed or len(joins) == 1)
        if pinned and one.values.isdisjoint(other.values):
            yield one, other


def _turned(pair: tuple[NumberPlace, NumberPlace], target: str, words: Words) -> bool:
    """Whether a translation has the two numbers once each, the second one first."""
    places = _places(target, words)
    first, second = ([place for place in places if place.values & one.values] for one in pair)
    return len(first) == len(second) == 1 and second[0].start < first[0].start


def _places(text: str, words: Words) -> list[NumberPlace]:
    """All numbers of a text in order."""
    decimal = decimal_mark(words.code)
    digits = [
        NumberPlace(*found.span(), frozenset(readings(found[0], decimal))) for found in NUMBER.finditer(text)
    ]
    return sorted([*digits, *_cardinals(text, words)], key=lambda place: place.start)


def _cardinals(text: str, words: Words) -> list[NumberPlace]:
    found = tokens(text)
    return [
        NumberPlace(found[first].start, found[last].end, frozenset([value]))
        for first, last, value in cardinals(words.code).find(found)
    ]


def _all_values(text: str, said: SaidNumbers) -> set[Decimal]:
    """Whatever number a text may be said to name."""
    words = said.source
    text = unicodedata.normalize("NFC", text)
    values: set[Decimal] = set()
    for number in NUMBER.finditer(text):
        of_it = readings(number[0])
        values |= of_it | {*parts_of(number[0])}
        values |= {value * words.scale_at(text, number.end()) for value in of_it}
    found = tokens(text)
    listed = (words.said, words.minutes, words.scales)
    lexicons = (cardinals(words.code), *(further_words(words.code, tuple(each.items())) for each in listed))
    for _, last, value in (place for lexicon in lexicons for place in lexicon.find(found)):
        values |= {value, value * words.scale_at(text, found[last].end)}
    if _HALF in values:
        values |= {value + _HALF for value in values}  # three and a half
    if any(phrase in text.casefold() for phrase in words.before_hour):
        values |= {value - 1 for value in values} | {
            _HOUR - value for value in values
        }  # a quarter to ten is 9:45
    values |= {Decimal(month) for month in months_in(text, words.code)}
    values |= {Decimal(_roman(found[0])) for found in _ROMAN.finditer(text)}
    for character in set(text):
        if not character.isdecimal() and character.isnumeric():
            values.add(Decimal(str(unicodedata.numeric(character))))
    return values


def _explained(value: Decimal, known: set[Decimal]) -> bool:
    """Whether a number follows from one of ``known``: on another clock, as a percentage, as a decade."""
    other_clock = value - _CLOCK if value else Decimal(_CLOCK)
    if value in known or (value <= 2 * _CLOCK and other_clock in known) or value / _HUNDRED in known:
        return True
    return value < _HUNDRED and any(1000 < one < _LONGEST and one % 100 == value for one in known)


def _roman(numeral: str) -> int:
    values = [_ROMAN_VALUES[letter] for letter in numeral]
    return sum(-one if one < after else one for one, after in itertools.pairwise([*values, 0]))
