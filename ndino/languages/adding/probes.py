"""Answers made from a language's own words, read by the real readers: what should be read, and what is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import cycle
from typing import Any

from ndino.languages.answers import AnswerReader
from ndino.languages.fields.schema import READING
from ndino.languages.known.tool_codes import known_code
from ndino.languages.language import Language
from ndino.languages.numerals import spelled

LETTERS = "ABCD"
LARGEST = 100  # of the numbers that are tried
SOME_TEXT = "xyz"
# Of each list of words the answers that are made of them, and whether they name the option in them.
SAID_OF_OPTIONS = (
    ("announcers", "{word}: {letter}", True),
    ("copulas", "{announcer} {word} {letter}", True),
    ("leads", "{announcer} {copula} {word} {letter}", True),
    ("right", "{letter} {copula} {word}", True),
    ("affirming", "{word}, {letter}", True),
    ("wrong", "{letter} {copula} {word}", False),
    ("denials", "{word} {letter}", False),
    ("excluding", "{word} {letter}", False),
    ("either", f"{{letter}} {{word}} {SOME_TEXT}", False),
    ("passives", "{letter} {word} {wrong}", False),
)
# The same for short answers: what is made of a word, and what means the same.
SAID_OF_TEXTS = (
    ("articles", f"{{word}} {SOME_TEXT}", SOME_TEXT),
    ("presenting", f"{{word}} {SOME_TEXT}", SOME_TEXT),
    ("numbering", "{word} 5", "5"),
    ("minus", "{word} 5", "-5"),
)


@dataclass(frozen=True)
class Probe:
    """A form of answers.

    Attributes:
        name: the form.
        failed: answers that were not read as they should be, as lines.
    """

    name: str
    failed: tuple[str, ...]


class Probes:
    """Makes probes of a file's sound fields (see `schema.py`); a form whose words are missing has none."""

    def __init__(self, code: str, sound: Mapping[str, Any]) -> None:
        self._code, self._sound = code, sound
        inside = f"{READING}."
        reading = {key.removeprefix(inside): sound[key] for key in sound if key.startswith(inside)}
        words = {**sound, READING: reading or {"leads": []}}
        # The readers take no words from the other fields.
        self._reader = AnswerReader(Language(code, code, {}, (), (), "", "", words, {}))

    def all(self) -> list[Probe]:
        """Every probe, about forty."""
        return [*self._letters(), *self._said_of_options(), *self._yes_no(), *self._numbers(), *self._texts()]

    @cached_property
    def spelled(self) -> dict[int, str]:
        """The numbers from 0 to `LARGEST` in words: by num2words, and those that the file lists alone."""
        listed = self._sound.get("number_words", {})
        found = {value: word for word, value in listed.items() if value <= LARGEST}
        if language := known_code("num2words", self._code):
            said = ((number, spelled(number, language)) for number in range(LARGEST + 1))
            found |= {number: words for number, words in said if words is not None}
        return found

    def _words(self, name: str) -> list[str]:
        return list(self._sound.get(f"{READING}.{name}", ()))

    def _first(self, name: str) -> str:
        return next(iter(self._words(name)), "")

    def _letters(self) -> Iterator[Probe]:
        announcer, copula = self._first("announcers"), self._first("copulas")
        right, reason = self._first("right"), self._first("reasons")
        for letter, other in zip(LETTERS, LETTERS[1:] + LETTERS[0], strict=True):
            yield self._option(
                f"{letter} alone", dict.fromkeys((letter, f"({letter})", f"{letter}."), letter)
            )
            if announcer and copula:
                announced = f"{announcer} {copula} {letter}"
                said = (announced, f"{announcer}: {letter}", f"{other}? {announced}")
                yield self._option(f"{letter} announced", dict.fromkeys(said, letter))
            if copula and right:
                yield self._option(f"{letter} confirmed", {f"{letter} {copula} {right}": letter})
            if reason:
                yield self._option(f"{letter} with a reason", {f"{letter} {reason} {SOME_TEXT}": letter})

    def _said_of_options(self) -> Iterator[Probe]:
        firsts = {name: self._first(f"{name}s") for name in ("announcer", "copula")}
        firsts["wrong"] = self._first("wrong")
        for name, form, names_it in SAID_OF_OPTIONS:
            if self._words(name) and all(word for first, word in firsts.items() if f"{{{first}}}" in form):
                pairs = zip(self._words(name), cycle(LETTERS), strict=False)
                tries = {_filled(form, word=word, letter=letter, **firsts): letter for word, letter in pairs}
                yield self._option(name, tries if names_it else dict.fromkeys(tries))
        denial = self._first("denials")
        for name, form in (("breaks", f"{denial} A {{}} B"), ("correcting", "A, {} B")):
            if self._words(name) and denial:
                yield self._option(name, {form.format(word): "B" for word in self._words(name)})
        if self._words("joining"):
            yield self._option("joining", {f"A {word} B": None for word in self._words("joining")})

    def _yes_no(self) -> Iterator[Probe]:
        for name, wanted in (("yes", True), ("yes_alone", True), ("no", False)):
            if words := self._words(name):
                forms = (said for word in words for said in (word, f"{word}.", f"{word}, {SOME_TEXT}"))
                yield self._answer(name, dict.fromkeys(forms, wanted))
        # The answers of benchmarks are written with the first words outside ``reading``.
        meaning = (("yes", True), ("no", False))
        written = {word: meant for key, meant in meaning for word in self._sound.get(key, ())[:1]}
        if written and self._words("yes") and self._words("no"):
            yield self._answer("yes and no as they are written", written)
        yes, no = self._first("yes"), self._first("no")
        announced = " ".join(filter(None, (self._first("announcers"), self._first("copulas"))))
        if yes and no and announced:
            tries = {f"{announced} {yes}": True, f"{announced} {no}": False}
            yield self._answer("yes and no announced", tries)
        if yes and announced and (denials := self._words("denials")):
            denied = [
                f"{self._first('announcers')} {word} {self._first('copulas')} {yes}" for word in denials
            ]
            read_as_yes = [said for said in denied if self._reader.yes_or_no(said)]
            yield Probe("yes with a denial", tuple(f'"{said}" is read as yes' for said in read_as_yes))
        if yes and no and (joining := self._first("joining")):
            yield self._answer("neither", {f"{yes} {joining} {no}": None})
        if denials := self._words("denials"):
            said = [_filled(f"{SOME_TEXT} {{word}} {SOME_TEXT}", word=word) for word in denials]
            read = {text: self._reader.denies(text) for text in said}
            yield Probe("denials in a sentence", _failed(read, dict.fromkeys(said, True)))

    def _numbers(self) -> Iterator[Probe]:
        if self.spelled:
            said = self.spelled.items()
            yield self._same("numbers in words", {words: str(number) for number, words in said})
            others = ((words, str(number + 1)) for number, words in said)
            equal = [f'"{one}" is {other}' for one, other in others if self._reader.same(one, other)]
            yield Probe("other numbers in words", tuple(equal))
        if listed := self._sound.get("number_words"):
            yield self._same("number_words", {word: str(value) for word, value in listed.items()})
        if scales := self._sound.get("reading.scales"):
            yield self._same("scales", {f"2 {word}": str(2 * value) for word, value in scales.items()})
        if symbols := self._sound.get("reading.symbols"):
            tries = {f"5 {name}": f"5 {sign}" for sign, names in symbols.items() for name in names}
            yield self._same("symbols", tries)

    def _texts(self) -> Iterator[Probe]:
        for name, form, meant in SAID_OF_TEXTS:
            if words := self._words(name):
                yield self._same(name, {_filled(form, word=word): meant for word in words})

    def _option(self, name: str, tries: Mapping[str, str | None]) -> Probe:
        read = {said: self._reader.letter(said, LETTERS) for said in tries}
        return Probe(name, _failed(read, tries))

    def _answer(self, name: str, tries: Mapping[str, bool | None]) -> Probe:
        read = {said: self._reader.yes_or_no(said) for said in tries}
        return Probe(name, _failed(read, tries))

    def _same(self, name: str, tries: Mapping[str, str]) -> Probe:
        unlike = [pair for pair in tries.items() if not self._reader.same(*pair)]
        return Probe(name, tuple(f'"{one}" is not {other}' for one, other in unlike))


def _filled(form: str, **words: str) -> str:
    """A form with its words; an elided one has no blank behind it."""
    return form.format(**words).replace("' ", "'")


def _failed(read: Mapping[str, Any], wanted: Mapping[str, Any]) -> tuple[str, ...]:
    """Lines for the answers that were read otherwise."""
    return tuple(
        f'"{said}" is read as {_named(found)}, not as {_named(wanted[said])}'
        for said, found in read.items()
        if found is not wanted[said] and found != wanted[said]
    )


def _named(read: str | bool | None) -> str:
    if isinstance(read, str):
        return read
    return "neither" if read is None else "yes" if read else "no"
