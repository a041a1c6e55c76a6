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
# Words behind a time that name its half: "9 de la mañana".
HALF_WORDS = 3
NIGHT = 6  # the hour from which on a time "at night" is before midnight
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
            if hour <= 12:
                # Ten at night is 22, two at night is 2.
                late = found["night"] and NIGHT <= hour < 12
                hour = hour % 12 + 12 * bool(late or found["second"])
            hour %= 24
            taken.append(found.span())
            yield TimeOfDay(found[0], found.start(), hour, minute)
    for found in _TIME.finditer(text):
        if not any(start <= found.start() < end for start, end in taken):
            yield TimeOfDay(found[0], found.start(), int(found["hour"]) % 24, int(found["minute"]), False)


def digits_of(time: TimeOfDay, text: str) -> re.Match[str] | None:
    """Where ``text`` has the time in digits: 15:30, 15.30, 3:30; on the clock of 24 hours if it has that."""
    own = _digits({time.hour}, time.minute).search(text)
    return own or _digits(time.hours, time.minute).search(text)


def _digits(hours: set[int], minutes: int) -> re.Pattern[str]:
    minute = f"[:.h ]{minutes:02d}" if minutes else "(?:[:.h]00)?"
    return re.compile(rf"(?<![\d:.,])(?:{'|'.join(f'0?{hour}' for hour in sorted(hours))}){minute}(?!\d)")


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
        if _all_in_other_half(time, target, said.target):
            return time.text
        other = _names_half(target, said.target, not late) and not _names_half(target, said.target, late)
        if len(halves) == 1 and other and not _names_half(source, said.source, not late):
            return time.text
    return _noon_for_midnight(source, target, said)


def _all_in_other_half(time: TimeOfDay, target: str, words: Words) -> bool:
    """Whether each place where ``target`` may have the time names the other half right behind it."""
    places = list(_digits(time.hours, time.minute).finditer(target))
    late = time.hour >= 12
    behind = [_behind(target, place.end(), words) for place in places]
    return bool(places) and all(
        _names_half(text, words, not late) and not _names_half(text, words, late) for text in behind
    )


def _behind(text: str, place: int, words: Words) -> str:
    """The few words behind a time, as far as they belong to it."""
    row = re.split(r"[,;:!?()\d]", text[place:], maxsplit=1)[0].split()[: HALF_WORDS + 1]
    joining = next((number for number, word in enumerate(row) if word.casefold() in words.joining), len(row))
    return " ".join(row[: min(joining, HALF_WORDS)])


def _noon_for_midnight(source: str, target: str, said: SaidNumbers) -> str | None:
    """The word of ``source`` for noon or midnight, for which ``target`` has the other one; or None."""
    ours = _noon_and_midnight_in(source, said.source.code)
    if len(ours) != 1:
        return None
    ((hour, word),) = ours.items()
    theirs = _noon_and_midnight_in(target, said.target.code)
    return word if theirs and hour not in theirs else None


def _noon_and_midnight_in(text: str, language: str) -> dict[int, str]:
    """The words of a text for midnight and noon, by hour."""
    words = {*folded(text)}
    named = (
        (hour, word)
        for hour, forms in _noon_and_midnight(language).items()
        for (word,) in reversed(forms)  # the first one is kept
        if word in words
    )
    return dict(named)


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
def _phrases(language: str, *parts: str) -> str:
    """An expression for the phrases of several words that name one of these parts: in the afternoon."""
    names = _periods(language)
    phrases = {word for name, words in names.items() if name.rstrip("12") in parts for word in words}
    return "|".join(re.escape(phrase) for phrase in sorted(phrases) if len(phrase.split()) > 1) or r"(?!)"


@cache
def _times(language: str) -> re.Pattern[str] | None:
    halves = _half_of_day(language)
    if not all(halves):
        return None
    first = f"{halves[0]}|{_phrases(language, 'morning')}"
    second = f"{halves[1]}|{_phrases(language, 'afternoon', 'evening')}"
    return re.compile(
        r"(?<![\d:.,])(?P<hour>\d{1,2})(?:[:.](?P<minute>\d\d))?\s?"
        rf"(?:(?P<first>{first})|(?P<second>{second})|(?P<night>{_phrases(language, 'night')}))(?!\w)",
        re.IGNORECASE,
    )
