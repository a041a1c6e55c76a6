"""What contradicts itself in a language's file: a word that is both yes and no, a marker of two parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from ndino.common.parsing import NOT_NAMES, names_in_braces
from ndino.languages.fields.schema import READING
from ndino.languages.tokens import fold

Sound = Mapping[str, Any]
# No word may be in both.
APART = (
    ("yes", "no"),
    ("reading.yes", "reading.no"),
    ("reading.yes", "reading.yes_alone"),
    ("reading.yes", "reading.denials"),
    ("reading.yes_alone", "reading.no"),
    ("reading.yes_alone", "reading.denials"),
    ("reading.right", "reading.wrong"),
    ("reading.right", "reading.excluding"),
    ("reading.announcers", "reading.wrong"),
    ("reading.announcers", "reading.denials"),
    ("reading.copulas", "reading.denials"),
    ("reading.leads", "reading.denials"),
    ("reading.affirming", "reading.denials"),
    ("reading.affirming", "reading.excluding"),
)
# All words of the first are in the second.
WITHIN = (("reading.one", "reading.articles"), ("reading.either", "reading.joining"))
# What the instructions must name in braces.
BRACES = {
    "explained_answer": {"answer", "explanation"},
    "judge_request": {"question", "references", "answer", "rating"},
}
INSTRUCTIONS = (
    *("short_answer", "letter_answer", "explained_answer", "exam_question", "caption_request"),
    "judge_request",
)
BEHIND = ("short_answer", "letter_answer")


def contradictions_in_words(sound: Sound) -> list[str]:
    """What is contradictory in the fields (as `schema.sound_fields` gives them), each named by its key."""
    return [
        *_shared(sound),
        *_markers(sound),
        *_instructions(sound),
        *_letters_and_numbers(sound),
    ]


def _shared(sound: Sound) -> Iterator[str]:
    for one, other in APART:
        for word in _both(sound.get(one, ()), sound.get(other, ())):
            yield f'{one} and {other} both have "{word}"'
    for part, whole in (pair for pair in WITHIN if pair[1] in sound):
        inside = {*map(fold, sound[whole])}
        for word in (word for word in sound.get(part, ()) if fold(word) not in inside):
            yield f'{part} has "{word}", which {whole} lacks'
    signs = sound.get("reading.symbols")
    for unit in sorted({*sound.get("reading.clock", ())} - {*signs}) if signs else ():
        yield f'reading.clock has "{unit}", which is no sign in reading.symbols'
    names = Counter(
        name
        for sign, words in sound.get("reading.symbols", {}).items()
        for name in {*map(fold, (sign, *words))}
    )
    for name in sorted(name for name, times in names.items() if times > 1):
        yield f'reading.symbols has "{name}" for two signs'


def _markers(sound: Sound) -> Iterator[str]:
    markers = sound.get("markers", {})
    for one, other in combinations(markers, 2):
        for word in _both(markers[one], markers[other]):
            yield f'markers.{one} and markers.{other} both have "{word}"'
    for part, words in markers.items():
        yield from (
            f'markers.{part} has "{word}", whose colon is not part of the word'
            for word in words
            if ":" in word
        )
        for answer in ("yes", "no"):
            for word in _both(words, sound.get(answer, ())):
                yield f'markers.{part} has "{word}", which {answer} has too'


def _both(one: Sequence[str], other: Sequence[str]) -> list[str]:
    """The words of the second that the first has too, in any case."""
    folded = {*map(fold, one)}
    return [word for word in other if fold(word) in folded]


def _instructions(sound: Sound) -> Iterator[str]:
    for key in INSTRUCTIONS:
        text = sound.get(key, "")
        named, wanted = names_in_braces(text), BRACES.get(key, set())
        if text and (named is None or {*named} != wanted):
            braces = " and ".join(f"{{{name}}}" for name in sorted(wanted)) or "nothing"
            yield f"{key} must have {braces} in braces" + (f"; it {NOT_NAMES}" if named is None else "")
        if text and key in BEHIND and not text.startswith("\n"):
            yield f'{key} must begin with a line break: "\\n{text[:20]}…"'


def _letters_and_numbers(sound: Sound) -> Iterator[str]:
    for letter in sound.get("reading.word_letters", ()):
        if len(letter) != 1 or not letter.isalpha():
            yield f'reading.word_letters has "{letter}", which is not one letter'
    if sound.get("reading.decimal", ".") not in (".", ","):
        yield f'reading.decimal is "{sound["reading.decimal"]}", neither . nor ,'
    values: dict[str, int] = {}
    for word, value in sound.get("number_words", {}).items():
        if values.setdefault(fold(word), value) != value:
            yield f'number_words has "{word}" as {values[fold(word)]} and as {value}'
    for key in ("scales", f"{READING}.scales"):
        for word, value in sound.get(key, {}).items():
            if value in (0, 1):
                yield f'{key} has "{word}" as {value}, which multiplies nothing'
