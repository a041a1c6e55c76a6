"""What Babel (Unicode's CLDR) knows of a language: names of months, currencies and other languages."""

from __future__ import annotations

from functools import cache
from typing import Any


@cache
def locale_of(language: str) -> Any:
    """Babel's data of the language with this code; None if it has none."""
    from babel import Locale, UnknownLocaleError

    try:
        return Locale.parse(language, sep="-") if language else None
    except (UnknownLocaleError, ValueError):
        return None
