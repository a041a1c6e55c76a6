"""The names of months and weekdays, for any language that Babel knows."""

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
    known = [_names(language, "months", form) for form in FORMS]
    names = [name for value in values for form in known for name in form.get(int(value), ())]
    for name in map(folded, names):
        if name and (place := words.place(name)) is not None:
            words.blank(place, len(name))
            return True
    return False


def months_in(text: str, language: str) -> set[int]:
    """The numbers of the months that a text names: "March", "Mar"; not the verb "march"."""
    return _named(text, language, "months")


def another_month(source: str, target: str, said: SaidNumbers) -> bool:
    """Whether ``target`` names a month that ``source`` does not name, for one that it does.

    A month may become its number, and the number in a date a month.
    """
    in_dates = {int(number) for date in DATE.finditer(source) for number in re.findall(r"\d+", date[0])}
    return bool(_exchanged(source, target, said, "months") - in_dates)


def another_weekday(source: str, target: str, said: SaidNumbers) -> bool:
    """Whether ``target`` names a day of the week that ``source`` does not name, for one that it does."""
    return bool(_exchanged(source, target, said, "days"))


def _exchanged(source: str, target: str, said: SaidNumbers, kind: str) -> set[int]:
    """What ``target`` names beyond ``source``, if it lost something that ``source`` names."""
    ours = _named(source, said.source.code, kind)
    if not ours or ours <= _named(target, said.target.code, kind):
        return set()
    # Abbreviations may be other words ("set", "ago"), so they only count for what the source names.
    return _named(target, said.target.code, kind, short=False) - ours


def _named(text: str, language: str, kind: str, *, short: bool = True) -> set[int]:
    """The numbers of the ``kind`` (months, days) that a text names, ``short`` also by their abbreviations."""
    spelt = _spelt(language, kind)
    found = (spelt[word] for word in _WORD.findall(text) if word in spelt)
    return {number for number, is_short in found if short or not is_short}


@cache
def _names(language: str, kind: str, form: str) -> Mapping[int, list[str]]:
    """The names by number; not what all have, such as 月."""
    locale = locale_of(language)
    known = getattr(locale, kind) if locale else {}
    names: dict[int, set[str]] = {}
    for context in ("format", "stand-alone"):
        for number, name in (known.get(context, {}).get(form) or {}).items():
            # Catalan has "de març", and abbreviations may have a full stop.
            names.setdefault(number, set()).update(_WORD.findall(name)[-1:])
    used = Counter(name for words in names.values() for name in words)
    return {number: sorted(name for name in words if used[name] == 1) for number, words in names.items()}


@cache
def _spelt(language: str, kind: str) -> Mapping[str, tuple[int, bool]]:
    """What a spelling names, and whether it is short for it."""
    found: dict[str, tuple[int, bool]] = {}
    for form in FORMS:
        for number, names in _names(language, kind, form).items():
            for name in names:
                found |= dict.fromkeys((name, name.capitalize(), name.upper()), (number, form != "wide"))
    return found
