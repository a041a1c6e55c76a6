"""Numbers and currencies in words, for any language that num2words and Babel know."""

from __future__ import annotations

import contextlib
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, Decimal
from functools import cache, lru_cache
from typing import Any

from ndino.languages.known.locales import locale_of
from ndino.languages.known.tool_codes import known_code
from ndino.languages.language import Language
from ndino.languages.numerals import number_words, spelled
from ndino.languages.text import clean, without_accents

# Letters that a number word of at least so many letters may differ in at its end: ventuno, ventun, ventuna.
INFLECTED = 6
TOKEN = re.compile(r"\d+|[^\W\d_]+")
_NEXT_WORD = re.compile(r"[\s-]*([^\W\d_]+)")
Form = tuple[str, ...]


@dataclass(frozen=True)
class Words:
    """What one language says numbers with.

    Attributes:
        code: of the language; empty for none.
        said: words and phrases beyond num2words' with their values: no, half, a dozen.
        minutes: those for the minutes of a time: a quarter, half.
        before_hour: words that count the minutes to the next hour.
        parts_of_day: beginnings of words for a part of the day, beyond Babel's, by half (am, pm).
        scales: words that multiply the number before them.
        joining: words that join the parts of an enumeration.
    """

    code: str = ""
    said: Mapping[str, float] = field(default_factory=dict)
    minutes: Mapping[str, int] = field(default_factory=dict)
    before_hour: tuple[str, ...] = ()
    parts_of_day: Mapping[str, Sequence[str]] = field(default_factory=dict)
    scales: Mapping[str, int] = field(default_factory=dict)
    joining: tuple[str, ...] = ()

    @classmethod
    def of(cls, language: Language) -> Words:
        """The words in a language's file."""
        words = language.words
        said: Mapping[str, Any] = words.get("said_numbers", {})
        reading = words.get("reading", {})
        return cls(
            language.code,
            {**words.get("number_words", {}), **said.get("words", {})},
            said.get("minutes", {}),
            tuple(said.get("before_hour", ())),
            said.get("parts_of_day", {}),
            {**reading.get("scales", {}), **words.get("scales", {})},
            tuple(words.get("joining", reading.get("joining", ()))),
        )

    def scale_at(self, text: str, place: int) -> int:
        """What the scale words (million, mil millones) at ``place`` multiply by; 1 without any."""
        scale = 1
        while (word := _NEXT_WORD.match(text, place)) and (by := self.scales.get(word[1].casefold())):
            scale, place = scale * by, word.end()
        return scale


@dataclass(frozen=True)
class SaidNumbers:
    """The words of the language translated from and of the one translated to."""

    source: Words = field(default_factory=Words)
    target: Words = field(default_factory=Words)

    @classmethod
    def between(cls, source: Language, target: Language) -> SaidNumbers:
        """The words for a translation from ``source`` to ``target``."""
        return cls(Words.of(source), Words.of(target))


@dataclass(frozen=True)
class WordPlace:
    """A word or a row of digits: without case and accents, and its place in the text."""

    text: str
    start: int
    end: int


@lru_cache(maxsize=256)
def tokens(text: str) -> tuple[WordPlace, ...]:
    """The words and rows of digits of a text. Kept, since several checks ask for the same texts."""
    return tuple(
        WordPlace(without_accents(found[0].casefold()), *found.span())
        for found in TOKEN.finditer(unicodedata.normalize("NFC", text))
    )


class WordsLeft:
    """The words and digits of a text from which no number has been taken yet."""

    def __init__(self, words: Words, text: str) -> None:
        self._words, self._tokens = words, list(tokens(text))
        self.text = unicodedata.normalize("NFC", text)

    @property
    def left(self) -> bool:
        """Whether any are left."""
        return any(token.text for token in self._tokens)

    def take(self, value: Decimal) -> bool:
        """Take the words that say ``value``; False if there are none."""
        for forms in self._ways(value):
            places = [self.place(form) for form in forms]
            if None not in places:
                for form, place in zip(forms, places, strict=True):
                    self.blank(place or 0, len(form))
                return True
        return False

    def says(self, value: Decimal) -> bool:
        """Whether a phrase that is left says ``value``."""
        return any(self.place(form) is not None for form in self.forms(value))

    def forms(self, value: Decimal) -> list[Form]:
        """The words for ``value`` as one phrase."""
        listed = listed_forms(tuple(self._words.said.items())).get(value, ())
        return [*(_number_forms(self._words.code, int(value)) if value == int(value) else ()), *listed]

    def _ways(self, value: Decimal) -> Iterator[tuple[Form, ...]]:
        """Phrases that together say ``value``: "tre", "e mezzo"; "due", "milioni"."""
        yield from ((form,) for form in self.forms(value))
        whole = value.to_integral_value(ROUND_DOWN)  # `//` fails on 29 digits
        if value != whole and whole:
            yield from ((one, other) for one in self.forms(whole) for other in self.forms(value - whole))
        for word, scale in self._words.scales.items():
            if value >= scale and (rest := value / scale) < 1000 and rest * 2 % 1 == 0:
                for ways in self._ways(rest):
                    yield (*ways, (without_accents(word),))

    def place(self, form: Form, start: int = 0, end: int | None = None) -> int | None:
        """Where the words ``form`` begin, among the tokens from ``start`` to ``end``."""
        size = len(form)
        for place in range(max(start, 0), min(end or len(self._tokens), len(self._tokens)) - size + 1):
            if all(
                _same_word(said, found.text)
                for said, found in zip(form, self._tokens[place : place + size], strict=True)
            ):
                return place
        return None

    def blank(self, place: int, size: int) -> None:
        """Take ``size`` tokens away. An empty one keeps its neighbours apart."""
        first, last = self._tokens[place], self._tokens[place + size - 1]
        self.blank_text(first.start, last.end)

    def blank_text(self, start: int, end: int) -> None:
        """Take the tokens in a part of the text away."""
        self.text = f"{self.text[:start]}{' ' * (end - start)}{self.text[end:]}"
        self._tokens = [
            WordPlace("", token.start, token.end) if start <= token.start < end else token
            for token in self._tokens
        ]


class NumberPhrases:
    """Phrases with their values, to be found in texts; of two that begin at one place the longer counts."""

    def __init__(self, values: Mapping[Form, Decimal]) -> None:
        self._values = {form: value for form, value in values.items() if form}
        self._first = frozenset(form[0] for form in self._values)
        self._longest = max(map(len, self._values), default=0)

    def find(self, found: Sequence[WordPlace]) -> Iterator[tuple[int, int, Decimal]]:
        """The first and the last token and the value of each phrase."""
        place = 0
        while place < len(found):
            size = 0
            if found[place].text in self._first:
                row = tuple(token.text for token in found[place : place + self._longest])
                size = next((size for size in range(len(row), 0, -1) if row[:size] in self._values), 0)
                if size:
                    yield place, place + size - 1, self._values[row[:size]]
            place += size or 1


def lost_currency(source: str, target: str, language: str) -> str | None:
    """The first currency sign beside a number of ``source`` that ``target`` lost, or None.

    It may write the sign, the currency's code, or its name in ``language``.
    """
    signs = (found[1] or found[2] for found in re.finditer(r"([$€£¥₹])\s?\d|\d\s?([€£¥₹])", source))
    for sign in dict.fromkeys(signs):
        stems = _currency_stems(sign, language)
        if sign not in target and not any(token.text.startswith(stems) for token in tokens(target)):
            return sign
    return None


def _same_word(said: str, found: str) -> bool:
    if said == found:
        return True
    long = len(said) >= INFLECTED and abs(len(said) - len(found)) <= 1
    return long and len(found) >= INFLECTED - 1 and found.startswith(said[:-1])


def folded(text: str) -> Form:
    """The words of a phrase, without case and accents."""
    return tuple(token.text for token in tokens(clean(text)))


@cache
def listed_forms(listed: tuple[tuple[str, float], ...]) -> Mapping[Decimal, list[Form]]:
    """The phrases of a language's file, by value."""
    forms: dict[Decimal, list[Form]] = {}
    for phrase, value in listed:
        forms.setdefault(Decimal(str(value)), []).append(folded(phrase))
    return forms


@cache
def _number_forms(language: str, number: int) -> tuple[Form, ...]:
    """How a language says a number; empty if num2words cannot tell."""
    code = known_code("num2words", language)
    if not code or number > 10**12:
        return ()
    # World War 2 is la seconda guerra mondiale.
    forms = ("cardinal", "ordinal") if number < 100 else ("cardinal",)
    return tuple(filter(None, (_said(number, code, form) for form in forms)))


def _said(number: int, code: str, form: str) -> Form:
    with contextlib.suppress(NotImplementedError):  # num2words has no ordinals of several languages
        return folded(spelled(number, code, form) or "")
    return ()


@cache
def cardinals(language: str) -> NumberPhrases:
    """The cardinal numbers that num2words knows in a language."""
    values: dict[Form, Decimal] = {}
    with contextlib.suppress(NotImplementedError):  # a wrong code in the language's file
        # Tokens end at an apostrophe, as in Ukrainian п'ять.
        values = {
            tuple(part for word in words for part in word.split("'")): Decimal(digits)
            for words, digits in number_words(known_code("num2words", language)).items()
        }
    return NumberPhrases(values)


@cache
def further_words(language: str, listed: tuple[tuple[str, float], ...]) -> NumberPhrases:
    """The ordinal numbers below 100, and the phrases of a language's file."""
    code = known_code("num2words", language)
    numbers = range(1, 100) if code else ()
    values = {_said(number, code, "ordinal"): Decimal(number) for number in numbers}
    values |= {form: value for value, forms in listed_forms(listed).items() for form in forms}
    return NumberPhrases(values)


@cache
def _currency_stems(sign: str, language: str) -> tuple[str, ...]:
    """The beginnings of the words for a currency: its code, and the first word of its names."""
    from babel.numbers import get_currency_name

    name = unicodedata.name(sign).removesuffix(" SIGN")
    code = {"DOLLAR": "USD", "EURO": "EUR", "POUND": "GBP", "YEN": "JPY", "INDIAN RUPEE": "INR"}[name]
    locale = locale_of(language)
    if locale is None:
        return (code.casefold(),)
    names = [get_currency_name(code, count, locale) for count in (None, 1, 5)]
    words = [word for one in names for word in folded(one)[:1]]
    return (code.casefold(), *(word if len(word) < 4 else word[:-1] for word in words))
