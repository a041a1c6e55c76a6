"""Does a translation keep the numbers of its source, whichever way the language writes them?"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal

from ndino.data.translation.checks.said_numbers import SaidNumbers

# Digits with the separators between them: point, comma, apostrophe, narrow or no-break space. A plain space
# separates only groups of three, as in 1 234 567.
NUMBER = re.compile(r"\d+(?:[.,'’\u00a0\u202f]\d+|(?<=\d) (?=\d{3}(?!\d))\d{3})*")
SEPARATOR = re.compile(r"[.,'’\u00a0\u202f ]")
DATE = re.compile(r"\d{1,4}([-/.])\d{1,2}\1\d{1,4}")
NOTHING_SAID = SaidNumbers()


def lost_number(source: str, target: str, said: SaidNumbers = NOTHING_SAID) -> str | None:
    """The first number of ``source`` that is missing in ``target``, or None.

    1,234.5 may be written 1.234,5 or 1 234,5 or 1234.5, a number in words (``said``), 2,000,000 as 2 million,
    a month in a date by its name, and 3:30 PM as 15:30. Digits next to a letter (2nd, 1990s, 3x) are not
    checked: correct translations write ordinals, decades and units differently.
    """
    source, target, lost_time = _without_times(source, target, said)
    if lost_time:
        return lost_time
    found = list(_numbers(target))
    there = [(number[0], _readings(number[0])) for number in found]
    lost = []
    for number in (number for number in _numbers(source) if not _touched(number)):
        values = _readings(number[0])
        same = next((other for other in there if not values.isdisjoint(other[1])), None)
        if same is None:
            lost.append(number)
        else:
            there.remove(same)
    if not lost:
        return None
    # 3,4 may be one number or a list of two, with the space left out.
    parts = Counter(part for number, _ in there for part in _parts(number))
    scaled = Counter(
        value * scale
        for number in found
        if (scale := said.scale_at(target, number.end()))
        for value in _readings(number[0])
    )
    words = said.words_in(target)
    dates = [found.span() for found in DATE.finditer(source)]
    for number in lost:
        wanted = Counter(_parts(number[0]))
        values = _readings(number[0])
        if wanted <= parts:
            parts -= wanted
        elif multiplied := [value for value in values if scaled[value]]:
            scaled[multiplied[0]] -= 1
        elif any(start <= number.start() < end for start, end in dates) and words.take_month(values):
            continue
        elif not any(words.take(value) for value in sorted(values)):
            return number[0]
    return None


def says_number(answer: str, number: str, said: SaidNumbers) -> bool:
    """Whether ``answer`` is nothing but ``number`` in words; ``number`` is in digits."""
    if not NUMBER.fullmatch(number):
        return False
    words = said.words_in(answer)
    return any(words.take(value) for value in sorted(_readings(number))) and not words.left


def _without_times(source: str, target: str, said: SaidNumbers) -> tuple[str, str, str | None]:
    """Both texts without the times of day that both have; and the first of ``source`` that is lost."""
    for time in reversed(list(said.times_in(source))):
        hours = {time.hour, time.hour % 12 or 12, time.hour % 12 + 12 * (time.hour >= 12)}
        minute = f"[:.h ]{time.minute:02d}" if time.minute else "(?:[:.h]00)?"
        pattern = rf"(?<![\d:.,])(?:{'|'.join(f'0?{hour}' for hour in sorted(hours))}){minute}(?!\d)"
        found = re.search(pattern, target)
        if found:
            target = f"{target[: found.start()]} {target[found.end() :]}"
        elif not said.words_in(target).take_time(time, hours):
            return source, target, time.text
        source = f"{source[: time.start]} {source[time.start + len(time.text) :]}"
    return source, target, None


def _numbers(text: str) -> Iterator[re.Match[str]]:
    return NUMBER.finditer(text)


def _touched(number: re.Match[str]) -> bool:
    before, after = number.string[: number.start()][-1:], number.string[number.end() :][:1]
    return before.isalpha() or after.isalpha() or "_" in (before, after)


def _parts(number: str) -> list[Decimal]:
    return [Decimal(part) for part in SEPARATOR.split(number)]


def _readings(number: str) -> set[Decimal]:
    """The values that a number may have: 1.234 is one thousand or one point two, depending on the country."""
    parts, marks = SEPARATOR.split(number), SEPARATOR.findall(number)
    if not marks:
        return {Decimal(number)}
    readings = set()
    if len(set(marks)) == 1 and len(parts[0]) <= 3 and all(len(part) == 3 for part in parts[1:]):
        readings.add(Decimal("".join(parts)))
    # A decimal separator occurs once, and any groups before it have three digits and another separator.
    alone = marks[-1] in ".," and marks[-1] not in marks[:-1] and len(set(marks[:-1])) <= 1
    if alone and all(len(part) == 3 for part in parts[1:-1]):
        readings.add(Decimal(f"{''.join(parts[:-1])}.{parts[-1]}"))
    return readings
