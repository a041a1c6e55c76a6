"""Does a translation keep what stands beside a number: a percent sign, a minus, a scale word (million)?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

from ndino.data.translation.checks.said_numbers import SaidNumbers, Words, cardinals, tokens
from ndino.data.translation.kept_numbers import NUMBER, readings
from ndino.data.translation.text_measures import says
from ndino.languages.text import clean, without_accents

_PERCENT = re.compile(r"\d\s?%")
# Not the dash of a range, a list or a subtraction.
_NEGATIVE = re.compile(r"(?:(?<=[A-Za-z] )|(?<=\())[-−]\d")
_MINUS = re.compile(r"[-−–‐‑]\s?\d")


def lost_percent(source: str, target: str, words: Sequence[str]) -> bool:
    """Whether ``source`` has percentages and ``target`` neither the sign nor one of ``words``; no words, no
    verdict."""
    return bool(words and _PERCENT.search(source)) and "%" not in target and not _says(target, words)


def lost_minus(source: str, target: str, words: Sequence[str]) -> bool:
    """Whether ``source`` has a negative number and ``target`` neither a minus nor one of ``words``; no words,
    no verdict."""
    return bool(words and _NEGATIVE.search(source)) and not _MINUS.search(target) and not _says(target, words)


def other_scale(source: str, target: str, said: SaidNumbers) -> bool:
    """Whether numbers of ``source`` have a scale word and those of ``target`` only others.

    Without any scale word, ``target`` writes the number in another way; so it does with another total.
    """
    wanted = _scaled(source, said.source)
    if not wanted:
        return False
    scales = {value for word, value in said.target.scales.items() if _says(target, [word])}
    # Spanish has "mil millones" for a billion.
    scales |= {one * other for one in scales for other in scales}
    if not scales or not scales.isdisjoint(scale for _, scale in wanted):
        return False
    totals = {value * scale for value, scale in wanted}
    return totals.isdisjoint(value * scale for value, scale in _scaled(target, said.target))


def _scaled(text: str, words: Words) -> set[tuple[Decimal, int]]:
    """The values of the numbers that have scale words, with what these multiply by."""
    found = tokens(text)
    numbers = [(number.end(), readings(number[0])) for number in NUMBER.finditer(text)]
    numbers += [(found[last].end, {value}) for _, last, value in cardinals(words.code).find(found)]
    return {
        (value, scale)
        for end, values in numbers
        if (scale := words.scale_at(text, end)) > 1
        for value in values
    }


def _says(text: str, words: Sequence[str]) -> bool:
    return says(without_accents(clean(text)), map(without_accents, words))
