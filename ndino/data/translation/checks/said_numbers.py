"""Numbers, months, times and currencies in words, for any language that num2words and Babel know."""

from __future__ import annotations

import contextlib
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache

from ndino.languages.known.locales import locale_of
from ndino.languages.language import Language
from ndino.languages.text import clean, without_accents

# Letters that a number word of at least so many letters may differ in at its end: ventuno, ventun, ventuna.
INFLECTED = 6
_WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True)
class TimeOfDay:
    """A time with its half of the day, as the source writes it; ``hour`` counts from 0 to 23."""

    text: str
    start: int
    hour: int
    minute: int


@dataclass(frozen=True)
class SaidNumbers:
    """How a translation may say numbers in words.

    Attributes:
        source: code of the language translated from, for times of day; empty for none.
        target: code of the language translated to, for number words and months; empty for none.
        listed: further words of the target language with their values.
        scales: its words that multiply the number before them.
    """

    source: str = ""
    target: str = ""
    listed: Mapping[str, int] = field(default_factory=dict)
    scales: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def between(cls, source: Language, target: Language) -> SaidNumbers:
        """The words for a translation from ``source`` to ``target``."""
        scales = target.words.get("reading", {}).get("scales", {})
        return cls(source.code, target.code, target.words.get("number_words", {}), scales)

    def scale_at(self, text: str, place: int) -> int | None:
        """The value of the scale word (million) that follows at ``place``."""
        word = _WORD.search(text, place, place + 20)
        return (
            self.scales.get(word[0].casefold()) if word and not text[place : word.start()].strip() else None
        )

    def words_in(self, text: str) -> WordsLeft:
        """The words of a translation, from which numbers can be taken."""
        return WordsLeft(self, _folded(text))

    def times_in(self, text: str) -> Iterator[TimeOfDay]:
        """The times of a source with their half of the day (3:30 PM, 9 a.m.)."""
        pattern = _times(self.source)
        for found in pattern.finditer(text) if pattern else ():
            hour, minute = int(found["hour"]), int(found["minute"] or 0)
            if hour <= 24 and minute <= 59:
                afternoon = found["second"] is not None
                hour = hour % 12 + 12 * afternoon if hour <= 12 else hour % 24
                yield TimeOfDay(found[0], found.start(), hour, minute)


class WordsLeft:
    """The words of a text from which no number has been taken yet."""

    def __init__(self, said: SaidNumbers, words: list[str]) -> None:
        self._said, self._words = said, words

    @property
    def left(self) -> bool:
        """Whether any are left."""
        return any(self._words)

    def take(self, value: Decimal) -> bool:
        """Take the words that say ``value``; False if there are none."""
        if value != int(value) or not self._words:
            return False
        number = int(value)
        forms = [(word,) for word, its_value in self._said.listed.items() if its_value == number]
        return any(self._take_words(form) for form in (*_number_words(self._said.target, number), *forms))

    def take_time(self, time: TimeOfDay, hours: set[int]) -> bool:
        """Take the words that say a time, whose hour may be counted as any of ``hours``."""
        names = _noon_and_midnight(self._said.target).get(time.hour, ()) if not time.minute else ()
        return any(self._take_words((name,)) for name in names) or (
            any(self.take(Decimal(hour)) for hour in sorted(hours))
            and (not time.minute or self.take(Decimal(time.minute)))
        )

    def take_month(self, values: set[Decimal]) -> bool:
        """Take the name of the month with one of these numbers; False if there is none."""
        months = _months(self._said.target)
        return any(self._take_words((name,)) for value in values for name in months.get(int(value), ()))

    def _take_words(self, form: tuple[str, ...]) -> bool:
        form = tuple(without_accents(word.casefold()) for word in form)
        size = len(form)
        for start in range(len(self._words) - size + 1):
            if all(map(_same_word, form, self._words[start : start + size])):
                # An empty word keeps its neighbours apart.
                self._words[start : start + size] = [""]
                return True
        return False


def lost_currency(source: str, target: str, language: str) -> str | None:
    """The first currency sign beside a number of ``source`` that ``target`` lost, or None.

    It may write the sign, the currency's code, or its name in ``language``.
    """
    signs = (found[1] or found[2] for found in re.finditer(r"([$€£¥₹])\s?\d|\d\s?([€£¥₹])", source))
    for sign in dict.fromkeys(signs):
        stems = _currency_stems(sign, language)
        if sign not in target and not any(word.startswith(stems) for word in _folded(target)):
            return sign
    return None


def _same_word(said: str, found: str) -> bool:
    if said == found:
        return True
    long = len(said) >= INFLECTED and abs(len(said) - len(found)) <= 1
    return long and len(found) >= INFLECTED - 1 and found.startswith(said[:-1])


def _folded(text: str) -> list[str]:
    return _WORD.findall(without_accents(clean(text)))


@cache
def _number_words(language: str, number: int) -> tuple[tuple[str, ...], ...]:
    """How a language says a number; empty if num2words cannot tell."""
    from num2words import num2words

    if not language or number > 10**12:
        return ()
    found = []
    # World War 2 is la seconda guerra mondiale.
    for form in ("cardinal", "ordinal") if number < 100 else ("cardinal",):
        # num2words raises whatever its module for the language happens to raise.
        with contextlib.suppress(
            NotImplementedError, OverflowError, IndexError, KeyError, ValueError, TypeError, AttributeError
        ):
            found.append(tuple(_folded(num2words(number, lang=language, to=form))))
    return tuple(filter(None, found))


@cache
def _noon_and_midnight(language: str) -> Mapping[int, tuple[str, ...]]:
    locale = locale_of(language)
    names = locale.day_periods.get("format", {}).get("wide", {}) if locale else {}
    return {hour: tuple(_folded(names.get(name, "")))[-1:] for hour, name in ((0, "midnight"), (12, "noon"))}


@cache
def _months(language: str) -> Mapping[int, tuple[str, ...]]:
    locale = locale_of(language)
    months = locale.months if locale else {}
    found: dict[int, tuple[str, ...]] = {}
    for form in ("wide", "abbreviated"):
        for number, name in (months.get("format", {}).get(form) or {}).items():
            found[number] = (*found.get(number, ()), *_folded(name))
    return found


@cache
def _times(language: str) -> re.Pattern[str] | None:
    """Times with the language's words for the two halves of the day."""
    locale = locale_of(language)
    if locale is None:
        return None
    periods = locale.day_periods
    halves = []
    for half in ("am", "pm"):
        names = {periods.get("format", {}).get(form, {}).get(half, "") for form in ("wide", "abbreviated")}
        letters = {"".join(filter(str.isalpha, name)) for name in names} - {""}
        # AM, am, a.m., A. M.
        halves.append("|".join(r"\.?\s?".join(map(re.escape, word)) + r"\b\.?" for word in sorted(letters)))
    if not all(halves):
        return None
    return re.compile(
        rf"(?<![\d:.,])(?P<hour>\d{{1,2}})(?:[:.](?P<minute>\d\d))?\s?(?:(?P<first>{halves[0]})|(?P<second>{halves[1]}))"
        r"(?!\w)",
        re.IGNORECASE,
    )


@cache
def _currency_stems(sign: str, language: str) -> tuple[str, ...]:
    """The beginnings of the words for a currency: its code, and the first word of its names."""
    from babel.numbers import get_currency_name

    name = unicodedata.name(sign).removesuffix(" SIGN")
    code = {"DOLLAR": "USD", "EURO": "EUR", "POUND": "GBP", "YEN": "JPY", "INDIAN RUPEE": "INR"}[name]
    locale = locale_of(language)
    if locale is None:
        return (code.casefold(),)
    names = [get_currency_name(code, count, locale) for count in (None, 1, 5)]
    words = [word for one in names for word in _folded(one)[:1]]
    return (code.casefold(), *(word if len(word) < 4 else word[:-1] for word in words))
