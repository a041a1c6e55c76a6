"""Does a translation keep what stands beside a number: a percent sign, a minus, a scale word (million)?"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

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


def other_scale(source: str, target: str, ours: Mapping[str, int], theirs: Mapping[str, int]) -> bool:
    """Whether numbers of ``source`` have a scale word and those of ``target`` only others.

    Without any scale word, ``target`` writes the number in another way.

    Args:
        ours: scale words of the source's language with their values.
        theirs: those of the target's.
    """
    wanted = {ours[word] for word in re.findall(r"\d\s?([a-z]+)", source.casefold()) if word in ours}
    if not wanted:
        return False
    found = {value for word, value in theirs.items() if _says(target, [word])}
    return bool(found) and wanted.isdisjoint(found)


def _says(text: str, words: Sequence[str]) -> bool:
    return says(without_accents(clean(text)), map(without_accents, words))
