"""The names of the months, for any language that Babel knows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping
from decimal import Decimal
from functools import cache

from ndino.data.translation.checks.said_numbers import SaidNumbers, WordsLeft, folded
from ndino.languages.known.locales import locale_of

FORMS = ("abbreviated", "wide")
DATE = re.compile(r"\d{1,4}([-/.])\d{1,2}\1\d{1,4}")
_WORD = re.compile(r"[^\W\d_]+")


def take_month(words: WordsLeft, values: Collection[Decimal], language: str) -> bool:
    """Take the name of the month with one of these numbers; False if there is none."""
    names = [
        name for value in values for form in FORMS for name in _names(language, form).get(int(value), ())
    ]
    for name in map(folded, names):
        if name and (place := words.place(name)) is not None:
            words.blank(place, len(name))
            return True
    return False


def months_in(text: str, language: str, *, short: bool = True) -> set[int]:
    """The numbers of the months that a text names: "March", ``short`` also "Mar"; not the verb "march"."""
    spelt = _spelt(language)
    found = (spelt[word] for word in _WORD.findall(text) if word in spelt)
    return {month for month, is_short in found if short or not is_short}


def another_month(source: str, target: str, said: SaidNumbers) -> bool:
    """Whether ``target`` names a month that ``source`` does not name, for one that it does.

    A month may become its number, and the number in a date a month.
    """
    ours = months_in(source, said.source.code)
    if not ours:
        return False
    # Abbreviations may be other words ("set", "ago"), so they only count for a month that the source names.
    added = months_in(target, said.target.code, short=False) - ours
    in_dates = {int(number) for date in DATE.finditer(source) for number in re.findall(r"\d+", date[0])}
    return bool(added - in_dates) and not ours <= months_in(target, said.target.code)


@cache
def _names(language: str, form: str) -> Mapping[int, list[str]]:
    """The names by month; not what all months have, such as 月."""
    locale = locale_of(language)
    months = locale.months if locale else {}
    names: dict[int, set[str]] = {}
    for context in ("format", "stand-alone"):
        for number, name in (months.get(context, {}).get(form) or {}).items():
            # Catalan has "de març", and abbreviations may have a full stop.
            names.setdefault(number, set()).update(_WORD.findall(name)[-1:])
    used = Counter(name for words in names.values() for name in words)
    return {number: sorted(name for name in words if used[name] == 1) for number, words in names.items()}


@cache
def _spelt(language: str) -> Mapping[str, tuple[int, bool]]:
    """The month that a spelling names, and whether it is short for it."""
    found: dict[str, tuple[int, bool]] = {}
    for form in FORMS:
        for number, names in _names(language, form).items():
            for name in names:
                found |= dict.fromkeys((name, name.capitalize(), name.upper()), (number, form != "wide"))
    return found
