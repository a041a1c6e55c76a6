"""Does a translation keep the numbers of its source, whichever way the language writes them?"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from decimal import Decimal

# Digits with the separators between them: point, comma, apostrophe, narrow or no-break space. A plain space
# separates only groups of three, as in 1 234 567.
NUMBER = re.compile(r"\d+(?:[.,'’\u00a0\u202f]\d+|(?<=\d) (?=\d{3}(?!\d))\d{3})*")
SEPARATOR = re.compile(r"[.,'’\u00a0\u202f ]")
WORD = re.compile(r"[^\W\d_]+")


def lost_number(source: str, target: str, words: Mapping[str, int]) -> str | None:
    """The first number of ``source`` that is missing in ``target``, or None.

    1,234.5 may be written 1.234,5 or 1 234,5 or 1234.5, and 2 as one of ``words`` (number words and their
    values). Digits next to a letter (2nd, 1990s, 10am, 3x) are not checked: correct translations write
    ordinals, decades, times and units differently.
    """
    left = [number for number in _numbers(source) if not _touched(number)]
    there = [number[0] for number in _numbers(target)]
    lost = []
    for number in left:
        same = next((other for other in there if _readings(number[0]) & _readings(other)), None)
        if same is None:
            lost.append(number[0])
        else:
            there.remove(same)
    # 3,4 may be one number or a list of two, with the space left out.
    parts = Counter(part for number in there for part in _parts(number))
    spoken = Counter(Decimal(words[word]) for word in WORD.findall(target.casefold()) if word in words)
    for number in lost:
        wanted = Counter(_parts(number))
        if wanted <= parts:
            parts -= wanted
        elif said := [value for value in _readings(number) if spoken[value]]:
            spoken[said[0]] -= 1
        else:
            return number
    return None


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
