"""What Unicode's CLDR (Babel) knows of a language, as fields of its file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

# Our signs of units and CLDR's names of them.
UNITS = {
    "%": "concentr-percent", "°": "angle-degree", "°C": "temperature-celsius", "km": "length-kilometer",
    "m": "length-meter", "cm": "length-centimeter", "mm": "length-millimeter", "kg": "mass-kilogram",
    "g": "mass-gram", "mg": "mass-milligram", "t": "mass-tonne", "V": "electric-volt", "W": "power-watt",
    "kW": "power-kilowatt", "Hz": "frequency-hertz", "l": "volume-liter", "cl": "volume-centiliter",
    "ml": "volume-milliliter", "h": "duration-hour", "min": "duration-minute", "s": "duration-second",
    "m2": "area-square-meter", "m3": "volume-cubic-meter", "km/h": "speed-kilometer-per-hour",
    "m/s": "speed-meter-per-second",
}  # fmt: skip
CURRENCIES = {"€": "EUR", "$": "USD", "£": "GBP"}
# Numbers that take every plural form which the languages of CLDR have.
COUNTS = (1, 2, 3, 5, 11, 20, 100, 0)
SCALES = (1_000, 1_000_000, 1_000_000_000, 1_000_000_000_000)
_WORDS = re.compile(r"[^\W\d_]+(?:[ '’·-][^\W\d_]+)*")


def reading_from_cldr(locale: Any) -> dict[str, Any]:
    """The fields of ``reading`` that CLDR knows: scales, units, and the words for and and or."""
    found: dict[str, Any] = {"scales": _scales(locale), "symbols": _symbols(locale)}
    joining = {name: _joint(locale, name) for name in ("standard", "or")}
    if joining["standard"] and joining["or"]:
        found |= {"joining": [joining["standard"], joining["or"]], "either": [joining["or"]]}
    return {name: value for name, value in found.items() if value}


def _scales(locale: Any) -> dict[str, int]:
    patterns = locale.compact_decimal_formats.get("long", {})
    found: dict[str, int] = {}
    for scale in SCALES:
        for by_size in patterns.values():
            pattern = by_size[str(scale)].pattern if str(scale) in by_size else ""
            zeros, _, word = pattern.partition(" ")
            # Some languages say "a thousand million", or write the number in full.
            if zeros == "0" and _WORDS.fullmatch(word) and " " not in word:
                found.setdefault(word.casefold(), scale)
    return found


def _symbols(locale: Any) -> dict[str, list[str]]:
    taken: set[str] = set()
    found: dict[str, list[str]] = {}
    for sign, names in _names(locale):
        new = [name for name in dict.fromkeys(names) if name.casefold() not in taken and name != sign]
        taken |= {name.casefold() for name in new}
        if new:
            found[sign] = new
    return found


def _names(locale: Any) -> Iterator[tuple[str, list[str]]]:
    from babel.numbers import get_currency_name
    from babel.units import UnknownUnitError, format_unit

    for sign, currency in CURRENCIES.items():
        names = [get_currency_name(currency, count=count, locale=locale) for count in COUNTS]
        yield sign, [name for name in names if name != currency and _WORDS.fullmatch(name)]
    for sign, unit in UNITS.items():
        try:
            said = [format_unit(count, unit, length="long", locale=locale) for count in COUNTS]
        except UnknownUnitError:
            continue
        words = [re.sub(r"[\d\W_]+$|^[\d\W_]+", "", text) for text in said]
        yield sign, [word for word in words if _WORDS.fullmatch(word)]


def _joint(locale: Any, name: str) -> str:
    patterns: Mapping[str, str] = locale.list_patterns.get(name, {})
    word = patterns.get("2", "").replace("{0}", "").replace("{1}", "").strip()
    return word if _WORDS.fullmatch(word) and " " not in word else ""
