"""Times of day: digits or words, on a clock of 12 or of 24 hours, for any language that Babel knows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache

from ndino.data.translation.checks.said_numbers import (
    Form,
    SaidNumbers,
    Words,
    WordsLeft,
    folded,
    listed_forms,
)
from ndino.languages.known.locales import locale_of

# Words between the hour and the minutes: "le dieci meno un quarto".
NEAR = 3
_TIME = re.compile(r"(?<![\d:.,])(?P<hour>[01]?\d|2[0-4]):(?P<minute>[0-5]\d)(?![:.,]?\d)")


@dataclass(frozen=True)
class TimeOfDay:
    """A time as a text writes it; ``hour`` counts from 0 to 23.

    ``half`` is whether it names its half of the day. If not, ``hour`` is as written.
    """

    text: str
    start: int
    hour: int
    minute: int
    half: bool = True

    @property
    def hours(self) -> set[int]:
        """The hours by which it may be called, on either clock."""
        return {self.hour, self.hour % 12 or 12, 24 if not self.hour else self.hour}

    @property
    def next_hours(self) -> set[int]:
        """Those of the hour after it."""
        return TimeOfDay("", 0, (self.hour + 1) % 24, 0).hours


def times_in(text: str, language: str) -> Iterator[TimeOfDay]:
    """The times of a text with their half of the day (3:30 PM, 9 a.m.), and those without (3:30)."""
    pattern = _times(language)
    taken: list[tuple[int, int]] = []
    for found in pattern.finditer(text) if pattern else ():
        hour, minute = int(found["hour"]), int(found["minute"] or 0)
        if hour <= 24 and minute <= 59:
            hour = hour % 12 + 12 * (found["second"] is not None) if hour <= 12 else hour % 24
            taken.append(found.span())
            yield TimeOfDay(found[0], found.start(), hour, minute)
    for found in _TIME.finditer(text):
        if not any(start <= found.start() < end for start, end in taken):
            yield TimeOfDay(found[0], found.start(), int(found["hour"]) % 24, int(found["minute"]), False)


def digits_of(time: TimeOfDay, text: str) -> re.Match[str] | None:
    """Where ``text`` has the time in digits: 15:30, 15.30, 3:30."""
    minute = f"[:.h ]{time.minute:02d}" if time.minute else "(?:[:.h]00)?"
    hours = "|".join(f"0?{hour}" for hour in sorted(time.hours, key=lambda hour: hour != time.hour))
    return re.search(rf"(?<![\d:.,])(?:{hours}){minute}(?!\d)", text)


def take_time(time: TimeOfDay, words: WordsLeft, said: SaidNumbers) -> bool:
    """Take the words that say ``time``: "le tre e mezza", "le dieci meno un quarto", "mezzogiorno"."""
    target = said.target
    names = _noon_and_midnight(target.code)
    spoken = listed_forms(tuple(target.minutes.items()))

    def numbers(values: set[int]) -> list[Form]:
        forms = [form for value in sorted(values) for form in words.forms(Decimal(value))]
        return [*forms, *((str(value),) for value in sorted(values))]

    def minutes(value: int) -> list[Form]:
        return [*numbers({value}), *spoken.get(Decimal(value), ())]

    hours = [*names.get(time.hour, ()), *numbers(time.hours)]
    if not time.minute:
        return _take(words, hours, None)
    if _take(words, hours, minutes(time.minute)):
        return True
    before = any(words.place(folded(word)) is not None for word in target.before_hour)
    next_hours = [*names.get((time.hour + 1) % 24, ()), *numbers(time.next_hours)]
    return before and _take(words, next_hours, minutes(60 - time.minute))


def _take(words: WordsLeft, hours: list[Form], minutes: list[Form] | None) -> bool:
    for hour in hours:
        place = words.place(hour)
        while place is not None:
            end = place + len(hour)
            if minutes is None:
                words.blank(place, len(hour))
                return True
            for minute in minutes:
                there = words.place(minute, end, end + NEAR + len(minute))
                if there is None:
                    there = words.place(minute, place - NEAR - len(minute), place)
                if there is not None:
                    words.blank(place, len(hour))
                    words.blank(there, len(minute))
                    return True
            place = words.place(hour, end)
    return False


def lost_half(source: str, target: str, said: SaidNumbers) -> str | None:
    """The first time of ``source`` whose half of the day ``target`` lost (5:45 PM as 5:45), or None.

    Also one that ``target`` puts into the other half, if ``source`` names only one. Hours in words are
    counted to twelve in many languages whatever the half, so it need not be named beside them.
    """
    times = [time for time in times_in(source, said.source.code) if time.half]
    halves = {time.hour >= 12 for time in times}
    for time in times:
        late = time.hour >= 12
        found = digits_of(time, target)
        on_24_hours = found and int(re.findall(r"\d+", found[0])[0]) % 24 == time.hour
        if found and not on_24_hours and not _names_half(target, said.target, late):
            return time.text
        other = _names_half(target, said.target, not late) and not _names_half(target, said.target, late)
        if len(halves) == 1 and other and not _names_half(source, said.source, not late):
            return time.text
    return None


def _names_half(text: str, words: Words, late: bool) -> bool:
    """Whether a text names the first half of the day, or, ``late``, the second."""
    half = _half_of_day(words.code)[late]
    if half and re.search(rf"(?<![^\W\d_])(?:{half})", text, re.IGNORECASE):
        return True
    said = "".join(f" {word}" for word in folded(text))
    more = words.parts_of_day.get("pm" if late else "am", ())
    return any(
        stem in said for stem in (*_parts_of_day(words.code, late), *("".join(folded(one)) for one in more))
    )


def _periods(language: str) -> Mapping[str, set[str]]:
    """The names of the parts of a day, by Unicode's names of these."""
    locale = locale_of(language)
    found: dict[str, set[str]] = {}
    for context in (locale.day_periods if locale else {}).values():
        for width in ("wide", "abbreviated"):
            for name, word in context.get(width, {}).items():
                found.setdefault(name, set()).add(word)
    return found


@cache
def _parts_of_day(language: str, late: bool) -> frozenset[str]:
    """The last word of the name of each part of a half (afternoon, evening, night), from four letters on."""
    names = _periods(language)
    parts = ("noon", "afternoon", "evening", "night") if late else ("midnight", "morning", "night")
    words = [
        word for name in names if name.rstrip("12") in parts for word in map(folded, names[name]) if word
    ]
    return frozenset(word[-1] for word in words if len(word[-1]) > 3 or not word[-1].isascii())


@cache
def _noon_and_midnight(language: str) -> Mapping[int, list[Form]]:
    names = _periods(language)
    return {
        hour: [folded(word)[-1:] for word in sorted(names.get(name, ())) if folded(word)]
        for hour, name in ((0, "midnight"), (12, "noon"))
    }


@cache
def _half_of_day(language: str) -> list[str]:
    """Expressions for the language's words for the two halves of the day: AM, am, a.m., A. M."""
    names = _periods(language)
    letters = [
        {"".join(filter(str.isalpha, word)) for word in names.get(half, ())} - {""} for half in ("am", "pm")
    ]
    return [
        "|".join(r"\.?\s?".join(map(re.escape, word)) + r"\b\.?" for word in sorted(one)) for one in letters
    ]


@cache
def _times(language: str) -> re.Pattern[str] | None:
    halves = _half_of_day(language)
    if not all(halves):
        return None
    return re.compile(
        rf"(?<![\d:.,])(?P<hour>\d{{1,2}})(?:[:.](?P<minute>\d\d))?\s?(?:(?P<first>{halves[0]})|(?P<second>{halves[1]}))"
        r"(?!\w)",
        re.IGNORECASE,
    )
