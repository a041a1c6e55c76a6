"""What Babel (Unicode's CLDR) knows of a language: names of months, currencies and other languages."""

from __future__ import annotations

from functools import cache
from typing import Any

from ndino.languages.known.tool_codes import known_code


@cache
def locale_of(language: str) -> Any:
    """Babel's data of the language with this code; None if it has none."""
    from babel import Locale, UnknownLocaleError

    try:
        return Locale.parse(known_code("cldr", language), sep="-") if language else None
    except (UnknownLocaleError, ValueError):
        return None


def decimal_of(language: str) -> str:
    """The mark before decimals in a language, ``,`` or ``.``; a point where Babel does not know it."""
    locale = locale_of(language)
    found = locale.number_symbols.get("latn", {}).get("decimal") if locale else None
    return found if found in (",", ".") else "."


def is_right_to_left(language: str) -> bool:
    """Whether a language is written from right to left."""
    locale = locale_of(language)
    return locale is not None and locale.text_direction == "rtl"
