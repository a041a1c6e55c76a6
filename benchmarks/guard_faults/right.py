"""Right translations from English to Italian, and what they are in four other languages (right.yaml).

A pair of question and answer comes with every right way to write its answer: the label of an option alone or
with its text, ``1)`` for ``(1)``, a number in words, "certo" for yes. So do sentences with numbers, times and
prices.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from babel import Locale
from num2words import num2words

from ndino.data.translation.pair_line import Expected, Parts, expected_of, to_line
from ndino.languages.language import language

SOURCE, TARGET = "en", "it"
MONTHS = {code: Locale(code).months["format"]["wide"] for code in (SOURCE, TARGET)}


@dataclass(frozen=True)
class PairExample:
    """A pair in every language, by code; ``ways`` are right Italian lines, the plainest first."""

    parts: dict[str, Parts]
    choice: int | None
    exactly: str | None
    ways: tuple[str, ...] = ()

    @property
    def expected(self) -> Expected:
        return expected_of(self.parts[SOURCE], self.choice, self.exactly)

    @property
    def source(self) -> str:
        """The line that is sent to the translator."""
        return to_line(self.parts[SOURCE], self.expected, language(SOURCE))

    def line(self, parts: Parts) -> str:
        """A line with the Italian markers."""
        return to_line(parts, self.expected, language(TARGET))


@dataclass(frozen=True)
class TextExample:
    """A text in English and Italian, and in the other languages where they are known."""

    texts: dict[str, str]

    @property
    def source(self) -> str:
        """The text that is sent to the translator."""
        return self.texts[SOURCE]

    @property
    def ways(self) -> tuple[str, ...]:
        """The right translation."""
        return (self.texts[TARGET],)


Example = PairExample | TextExample


@cache
def _data() -> dict[str, Any]:
    return yaml.safe_load((Path(__file__).parent / "right.yaml").read_text(encoding="utf-8"))


def examples(seed: int, count: int) -> Iterator[Example]:
    """The texts of the file, then ``count`` different pairs and sentences."""
    for source, target in _data()["texts"]:
        yield TextExample({SOURCE: source, TARGET: target})
    drawn = random.Random(seed)
    seen: set[str] = set()
    makers = (_pair, _pair, _pair, _sentences, _counted)
    while len(seen) < count:
        example = drawn.choice(makers)(drawn)
        if example.source not in seen:
            seen.add(example.source)
            yield example


def _filled(texts: list[str], **words: list[str]) -> dict[str, str]:
    filled = {}
    for number, code in enumerate(_data()["languages"]):
        text = texts[number].format(**{name: each[number] for name, each in words.items()})
        filled[code] = text[:1].upper() + text[1:]
    return filled


def _pair(drawn: random.Random) -> PairExample:
    data, codes = _data(), _data()["languages"]
    form = drawn.choice(data["questions"])
    things = drawn.sample(data["things"], 5)
    place, kind = drawn.choice(data["places"]), form["answer"]
    questions = _filled(form["texts"], thing=things[0][0], place=place)
    if kind in ("options", "explained"):
        choice = drawn.randrange(4)
        reasons = _filled(data["explanation"], thing=things[1 + choice][0], place=place)
        parts = {
            code: Parts(
                questions[code],
                tuple(thing[1][number] for thing in things[1:]),
                "",
                reasons[code] if kind == "explained" else "",
            )
            for number, code in enumerate(codes)
        }
        example = PairExample(parts, choice, None)
        return replace(example, ways=tuple(_ways_to_choose(example)))
    if kind == "yes_no":
        exactly = drawn.choice(["yes", "no"])
        answers = (
            ["Sì.", "Certo.", "Sì, è così.", "Certamente!"]
            if exactly == "yes"
            else ["No.", "no", "No, non lo è."]
        )
    elif kind == "number":
        exactly = str(drawn.choice([1, 2, 3, 8, 12, 21, 25, 40, 100]))
        answers = [exactly, num2words(int(exactly), lang=TARGET), f"{num2words(int(exactly), lang=TARGET)}."]
    else:
        exactly = None
        answers = []
    if exactly is not None:
        parts = {code: Parts(questions[code], (), exactly) for code in codes}
        example = PairExample(parts, None, exactly)
        ways = (example.line(parts[TARGET]), *(f"{_head(example)} Risposta: {answer}" for answer in answers))
        return replace(example, ways=ways)
    found = {"colour": data["colours"], "doing": data["doing"]}.get(kind)
    answer = drawn.choice(found) if found else things[1][1]
    parts = {code: Parts(questions[code], (), answer[number]) for number, code in enumerate(codes)}
    example = PairExample(parts, None, None)
    return replace(example, ways=(example.line(parts[TARGET]),))


def _head(example: PairExample) -> str:
    return example.line(example.parts[TARGET]).rpartition(" Risposta:")[0]


def _ways_to_choose(example: PairExample) -> Iterator[str]:
    line = example.line(example.parts[TARGET])
    yield line
    label = f"Risposta: ({(example.choice or 0) + 1})"
    option = example.parts[TARGET].options[example.choice or 0]
    yield line.replace(f"{label}.", f"{label} {option}.")
    yield line.replace("(", "") if not example.parts[TARGET].explanation else line


def _sentences(drawn: random.Random) -> TextExample:
    """One sentence, or several as in a description."""
    data = _data()
    told = []
    for form in drawn.choices(data["sentences"], k=drawn.choice([1, 1, 3, 4])):
        one, other = drawn.sample(data["things"], 2)
        told.append(
            _filled(form, one=one[1], other=other[1], thing=one[0], place=drawn.choice(data["places"]))
        )
    return TextExample({code: " ".join(each[code] for each in told) for code in told[0]})


def _counted(drawn: random.Random) -> TextExample:
    """A sentence with a number, a time or a price, which Italian writes in its own way."""
    number = drawn.choice(
        [drawn.randrange(2, 100), drawn.randrange(2, 100) * 1000, drawn.randrange(100, 10**6)]
    )
    hour, minute = drawn.randrange(1, 24), drawn.choice([0, 15, 20, 30, 45])
    half = "PM" if hour >= 12 else drawn.choice(["AM", "a.m."])
    clock = f"{hour % 12 or 12}:{minute:02d} {half}" if minute else f"{hour % 12 or 12} {half}"
    ours = f"{hour}:{minute:02d}" if minute else str(hour)
    grouped = f"{number:,}"
    said = [grouped.replace(",", "."), grouped.replace(",", " "), str(number)]
    if number < 100 or number % 1000 == 0:
        said.append(num2words(number, lang=TARGET))
    place = drawn.choice(_data()["places"])
    month, day = drawn.randrange(1, 13), drawn.randrange(13, 29)
    dogs, cats = drawn.sample(range(2, 13), 2)
    date = f"{MONTHS[SOURCE][month]} {day}"
    people = drawn.choice([str(day), num2words(day, lang=TARGET)])
    animals = [(str(number), num2words(number, lang=TARGET)) for number in (dogs, cats)]
    return TextExample(
        drawn.choice(
            [
                {
                    SOURCE: f"On {date} the {dogs} dogs and {cats} cats {place[0]} were asleep.",
                    TARGET: f"Il {day} {MONTHS[TARGET][month]} i {drawn.choice(animals[0])} cani e i "
                    f"{drawn.choice(animals[1])} gatti {place[1]} dormivano.",
                },
                {
                    SOURCE: f"There are {num2words(day)} people {place[0]}.",
                    TARGET: f"{place[1].capitalize()} ci sono {people} persone.",
                },
                {
                    SOURCE: f"There are {grouped} people {place[0]} in this photo.",
                    TARGET: f"In questa foto ci sono {drawn.choice(said)} persone {place[1]}.",
                },
                {
                    SOURCE: f"At {clock} the {grouped} visitors {place[0]} went home.",
                    TARGET: f"Alle {ours} i {drawn.choice(said)} visitatori {place[1]} sono tornati a casa.",
                },
                {
                    SOURCE: f"The ticket {place[0]} costs ${grouped} or €{number % 90 + 2}.",
                    TARGET: f"Il biglietto {place[1]} costa {drawn.choice(said)} dollari "
                    f"oppure {number % 90 + 2} euro.",
                },
            ]
        )
    )
