"""The values that a number in digits or words may have, so that other spellings of it compare equal."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from fractions import Fraction
from functools import cache

from ndino.languages.text import clean, without_accents

Forms = frozenset[str]
# Beyond these, and the round thousands to a million, nobody writes numbers in words.
_ONE_BY_ONE, _ROUND = 10_000, range(10_000, 1_000_001, 1_000)
LONGEST_NUMBER = 12
_VULGAR = "¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞"
_MIXED = re.compile(
    rf"(?<![\w/.,])(\d{{1,9}}) ?(?:([{_VULGAR}])|(?<= )(\d{{1,2}})[/⁄](\d{{1,2}}))(?![\w/.,]?\d)"
)
_EXPONENT = re.compile(
    r"(?<=\d)(?:\*\*(?=[-−]?\d)|\^\{?(?=[-−]?\d))([-−]?\d+)\}?|(?<=\d)([⁺⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+)"
)
_OTHER_NUMERAL = re.compile(
    r"(?<=\d)(?=[^\W\d_])(?=[\u00b2-\u00be\u2070-\u2089\u2150-\u215e\u2460-\u24ff\u2776-\u2793])"
)
_LARGEST_EXPONENT = 50
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_PARTS = re.compile(r"[-/.,:' ]")
_CLOCK = re.compile(r"0?(\d|1\d|2[0-4])[:.h]([0-5]\d)")


def forms(digits: str, decimal: str) -> list[Forms]:
    """What a number written in digits may mean: for each of its parts the forms that compare equal.

    ``1.000`` is a thousand where decimals have a comma, and 1 where they have a point; ``1,000`` the other
    way round. ``3.50`` is 3.5, ``12.30`` is 12.3 or half past twelve. What is no single number, such as a
    date or a version, gives one item for each of its parts.

    Args:
        digits: digits with points, commas, colons, apostrophes or blanks between them, and ``-`` in front of
            a negative number.
        decimal: the language's mark before decimals, ``,`` or ``.``.
    """
    minus = "-" if digits.startswith("-") else ""
    text = "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in digits[len(minus) :])
    marks = _PARTS.findall(text.replace("h", ":"))
    parts = _PARTS.split(text.replace("h", ":"))
    found: set[str] = set()
    if clock := _CLOCK.fullmatch(text):
        found.add(f"{clock[1]}:{clock[2]}")
    if not marks:
        found.add(parts[0])
    elif len({*marks}) == 1:
        mark = marks[0]
        grouped = len(parts[0]) <= 3 and parts[0][0] != "0" and all(len(part) == 3 for part in parts[1:])
        # A single mark is what the language says: in Italian 1.000 is a thousand and 1,000 is one.
        is_decimal = len(marks) == 1 and mark in ".," and not (grouped and mark != decimal)
        if grouped and mark != ":" and not is_decimal:
            found.add("".join(parts))
        if is_decimal:
            found.add(_decimal(*parts))
    elif ":" not in marks and len({*marks[:-1]}) == 1 and all(len(part) == 3 for part in parts[1:-1]):
        found.add(_decimal("".join(parts[:-1]), parts[-1]))
    if not found:
        return [frozenset({minus + part.lstrip("0") or "0"}) for part in parts]
    return [frozenset(minus + form if form.strip("0.") else form for form in found)]


def in_latin_digits(text: str, decimal: str) -> str:
    """A text with the digits of other scripts, and Arabic's own marks in numbers, as those of Latin script:
    ``٣٫٥٪`` becomes ``3.5%``, or ``3,5%``, by the language's ``decimal``. Every character keeps its place.
    """
    marks = text.translate({ord("٫"): decimal, ord("٬"): "," if decimal == "." else ".", ord("٪"): "%"})
    return "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in marks)


def with_powers(text: str, decimal: str) -> str:
    """A text whose powers are written "10^3" and whose mixed fractions are decimals: "2½" is "2,5".

    Its digits are Latin (`in_latin_digits`). Meant for texts before NFKC, which makes "103" of "10³". A
    fraction without a finite decimal, or any other sign behind a digit ("10₂", "1①"), is only kept apart from
    it.
    """

    def mixed(match: re.Match[str]) -> str:
        over, under = (match[3], match[4]) if match[3] else unicodedata.normalize("NFKC", match[2]).split("⁄")
        if not 0 < int(over) < int(under):
            return match[0]
        thousandths = Fraction(int(over), int(under)) * 1000
        if thousandths.denominator > 1:
            return f"{match[1]} {over}/{under}"
        return f"{match[1]}{decimal}{f'{thousandths.numerator:03d}'.rstrip('0')}"

    def power(match: re.Match[str]) -> str:
        return "^" + unicodedata.normalize("NFKC", match[1] or match[2]).replace("−", "-").replace("+", "")

    text = unicodedata.normalize("NFC", in_latin_digits(text, decimal))
    text = _EXPONENT.sub(power, _MIXED.sub(mixed, text))
    return _OTHER_NUMERAL.sub("_", text)


def power_form(base: str, exponent: str) -> str:
    """A power as one form that compares equal: in digits where it is a whole number of ordinary length."""
    by = int(exponent) if len(exponent) < 4 else _LARGEST_EXPONENT + 1
    if base.isdecimal() and len(base) < 10 and 0 <= by <= _LARGEST_EXPONENT:
        value = str(int(base) ** by)
        if len(value) < 16:
            return value
    return f"{base}^{exponent}"


def _decimal(whole: str, fraction: str) -> str:
    fraction = fraction.rstrip("0")
    return (whole.lstrip("0") or "0") + (f".{fraction}" if fraction else "")


def spelled(number: int, language: str, form: str = "cardinal") -> str | None:
    """A number in words; None for one that nobody writes so, or that num2words' module stumbles on.

    Raises:
        NotImplementedError: num2words does not know the language, or this form of its numbers.
    """
    from num2words import num2words

    # On such a number, 1,234,567, its module for Amharic never ends.
    if number > _ROUND[-1] and number % _ROUND.step:
        return None
    try:
        return num2words(number, lang=language, to=form)
    except (OverflowError, IndexError, KeyError, ValueError, TypeError, AttributeError):
        return None


@cache
def number_words(language: str, listed: tuple[tuple[str, str], ...] = ()) -> Mapping[tuple[str, ...], str]:
    """Numbers in words, cut into words without accents, with their digits.

    Args:
        language: num2words' code; empty where it does not know the language.
        listed: further words without accents, each with its digits.

    Raises:
        NotImplementedError: num2words does not know the language.
    """
    numbers = (*range(_ONE_BY_ONE), *_ROUND) if language else ()
    said = ((spelled(number, language), str(number)) for number in numbers)
    words = ((without_accents(clean(text)), digits) for text, digits in said if text is not None)
    return {tuple(_WORD.findall(word)): digits for word, digits in (*words, *listed)}
