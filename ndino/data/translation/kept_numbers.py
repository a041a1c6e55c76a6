"""Does a translation keep the numbers of its source, whichever way the language writes them?"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from decimal import Decimal

from ndino.data.translation.checks.months import DATE, take_month
from ndino.data.translation.checks.said_numbers import SaidNumbers, WordsLeft
from ndino.data.translation.checks.times import digits_of, take_time, times_in
from ndino.languages import numerals
from ndino.languages.known.locales import decimal_of, locale_of

# Digits with the separators between them: point, comma, apostrophe, narrow or no-break space. A plain space
# separates only groups of three, as in 1 234 567. The zero before a point may be missing: .25.
NUMBER = re.compile(r"(?:(?<![\w.])\.)?\d+(?:[.,'’\u00a0\u202f]\d+|(?<=\d) (?=\d{3}(?!\d))\d{3})*")
SEPARATOR = re.compile(r"[.,'’\u00a0\u202f ]")
FRACTION = re.compile(r"(?<![\d/])(\d{1,2})/([1-9]\d{0,2})(?![\d/])")
TIME_WORDS = 6  # of an answer that says a time: "le undici meno venti"
NOTHING_SAID = SaidNumbers()


def lost_number(source: str, target: str, said: SaidNumbers = NOTHING_SAID) -> str | None:
    """The first number of ``source`` that is missing in ``target``, or None.

    1,234.5 may be written 1.234,5 or 1 234,5 or 1234.5, a number in words (``said``), 2,000,000 as 2 million,
    2.5 billion as 2500 million, a month in a date by its name, and 3:30 PM as 15:30 or in words. Digits next
    to a letter (2nd, 1990s, 3x) are not checked: correct translations write ordinals, decades and units
    differently.
    """
    words = WordsLeft(said.target, target)
    source, lost_time = _without_times(source, words, said)
    if lost_time:
        return lost_time
    source = _without_fractions(source, words)
    there = [(number, readings(number[0])) for number in NUMBER.finditer(words.text)]
    decimal = decimal_mark(said.source.code)
    lost = []
    for number in (number for number in NUMBER.finditer(source) if not touched(number)):
        values = readings(number[0], decimal)
        same = next(
            (one for one in there if one[0][0] == number[0] or not values.isdisjoint(one[1])),
            None,
        )
        if same is None:
            lost.append(number)
        else:
            there.remove(same)
    if not lost:
        return None
    # 3,4 may be one number or a list of two, with the space left out.
    parts = Counter(part for number, _ in there for part in parts_of(number[0]))
    totals = Counter(
        value * said.target.scale_at(words.text, number.end()) for number, values in there for value in values
    )
    dates = [found.span() for found in DATE.finditer(source)]
    for number in lost:
        wanted = Counter(parts_of(number[0]))
        values = readings(number[0], decimal)
        scale = said.source.scale_at(source, number.end())
        wanted_totals = [value * scale for value in values]
        if wanted <= parts:
            parts -= wanted
        elif total := next((one for one in wanted_totals if totals[one]), None):
            totals[total] -= 1
        elif any(start <= number.start() < end for start, end in dates) and take_month(
            words, values, said.target.code
        ):
            continue
        elif not any(words.take(value) for value in sorted(values)) and not _said_as_fraction(number, words):
            return number[0]
    return None


def _said_as_fraction(number: re.Match[str], words: WordsLeft) -> bool:
    """Whether a number is part of a fraction (1/2) that words say."""
    for found in FRACTION.finditer(number.string):
        if found.start() <= number.start() < found.end():
            return words.says(value_of(found))
    return False


def _without_fractions(source: str, words: WordsLeft) -> str:
    """``source`` without the fractions (1/2) that the translation says in words or in one sign (½)."""

    def left(found: re.Match[str]) -> str:
        value = value_of(found)
        sign = next(
            (one for one in words.text if not one.isdecimal() and one.isnumeric() and _is(one, value)), ""
        )
        if found[0] in words.text or not (sign or (int(found[1]) < int(found[2]) and words.take(value))):
            return found[0]
        if sign:
            place = words.text.index(sign)
            words.blank_text(place, place + 1)
        return " "

    return FRACTION.sub(left, source)


def _is(sign: str, value: Decimal) -> bool:
    return abs(Decimal(str(unicodedata.numeric(sign))) - value) < Decimal("1e-9")


def value_of(fraction: re.Match[str]) -> Decimal:
    """The value of a `FRACTION`."""
    return Decimal(fraction[1]) / Decimal(fraction[2])


def says_number(answer: str, number: str, said: SaidNumbers) -> bool:
    """Whether ``answer`` is nothing but ``number`` in words; ``number`` is in digits."""
    words = WordsLeft(said.target, answer)
    time = next(times_in(number, said.source.code), None)
    if time is not None and time.text == number.strip(" ."):
        # What is left beside a time: le, meno, un.
        return len(answer.split()) <= TIME_WORDS and take_time(time, words, said)
    if not NUMBER.fullmatch(number):
        return False
    values = sorted(readings(number, decimal_mark(said.source.code)))
    return any(words.take(value) for value in values) and not words.left


def _without_times(source: str, words: WordsLeft, said: SaidNumbers) -> tuple[str, str | None]:
    """``source`` without the times of day that the translation has too, which are taken from ``words``; and
    the first that is lost."""
    # From the last one on, so that the places of the others stay.
    for time in sorted(times_in(source, said.source.code), key=lambda time: -time.start):
        if found := digits_of(time, words.text):
            words.blank_text(*found.span())
        elif not take_time(time, words, said):
            if time.half:
                return source, time.text
            continue  # 3:30 may also be a ratio or a duration: then its numbers are looked for
        source = f"{source[: time.start]} {source[time.start + len(time.text) :]}"
    return source, None


def touched(number: re.Match[str]) -> bool:
    """Whether a number stands next to a letter."""
    before, after = number.string[: number.start()][-1:], number.string[number.end() :][:1]
    return before.isalpha() or after.isalpha() or "_" in (before, after)


def parts_of(number: str) -> list[Decimal]:
    """The numbers between the separators of one."""
    return [Decimal(part) for part in SEPARATOR.split(number) if part]


def readings(number: str, decimal: str = "") -> set[Decimal]:
    """The values that a number may have.

    1.234 is one thousand or one point two, depending on the country; ``decimal`` is its mark before decimals,
    empty if that is not known.
    """
    number = f"0{number}" if number.startswith(".") else number
    parts, marks = SEPARATOR.split(number), SEPARATOR.findall(number)
    if not marks:
        return {Decimal(number)}
    found = set()
    single = decimal and len(marks) == 1 and marks[0] in ".,"
    if len(set(marks)) == 1 and len(parts[0]) <= 3 and all(len(part) == 3 for part in parts[1:]):
        if single and marks[0] != decimal and parts[0] != "0":
            return {Decimal("".join(parts))}
        if not single or parts[0] == "0":
            found.add(Decimal("".join(parts)))
    # A decimal separator occurs once, and any groups before it have three digits and another separator.
    alone = marks[-1] in ".," and marks[-1] not in marks[:-1] and len(set(marks[:-1])) <= 1
    if alone and all(len(part) == 3 for part in parts[1:-1]):
        found.add(Decimal(f"{''.join(parts[:-1])}.{parts[-1]}"))
    return found


def in_latin_digits(text: str, language: str) -> str:
    """A text in a language as `numerals.in_latin_digits` writes it."""
    return numerals.in_latin_digits(text, decimal_of(language))


def decimal_mark(language: str) -> str:
    """The mark before decimals of a language, as Babel has it; empty if that is not known."""
    return decimal_of(language) if locale_of(language) else ""
