"""The fields of a language's file (`fields.yaml`): their types, and which of them a file lacks."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ndino.common.errors import shown
from ndino.common.parsing import parse_yaml

MINIATURE = "miniature"  # described and checked by `ndino/languages/lexicon.py`
READING = "reading"
SECTIONS = ("said_numbers", READING)
LARGEST = 10**36


@dataclass(frozen=True)
class LanguageField:
    """A field of a language's file.

    Attributes:
        key: its name; those of a section are ``SECTION.NAME``.
        kind: ``text``, ``words``, ``counts`` (word: whole number), ``values`` (word: number), ``tables``
            (name: words) or ``names`` (name: text).
        part: what depends on it: ``data``, ``tasks`` or ``judge``.
        holds: what it is, for a translator.
        english: its value in English.
        without: what does not work without it.
        needed: the part does not work at all without it.
        rare: the part works as well without it in most languages.
        names: of a table, those that it must have; empty for any.
    """

    key: str
    kind: str
    part: str
    holds: str
    english: Any
    without: str
    needed: bool = False
    rare: bool = False
    names: tuple[str, ...] = ()


@cache
def schema() -> Mapping[str, LanguageField]:
    """All fields by their keys, in the order in which they are written."""
    found = parse_yaml(Path(__file__).with_name("fields.yaml").read_text(encoding="utf-8"))
    return {
        key: LanguageField(key=key, **{**value, "names": tuple(value.get("names", ()))})
        for key, value in _flat(found).items()
    }


@cache
def needed_fields(*parts: str) -> tuple[str, ...]:
    """The fields and sections of a file without which these parts do not work at all."""
    needed = (field.key for field in schema().values() if field.needed and field.part in parts)
    return tuple(dict.fromkeys(key.partition(".")[0] for key in needed))


def flattened(fields: Mapping[Any, Any]) -> dict[Any, Any]:
    """A file's fields by the keys of `schema`."""
    return {key: value for key, value in _flat(fields).items() if key != MINIATURE}


def _flat(fields: Mapping[Any, Any]) -> dict[Any, Any]:
    flat: dict[Any, Any] = {}
    for key, value in fields.items():
        inside = key in SECTIONS and isinstance(value, Mapping)
        flat |= {f"{key}.{name}": part for name, part in value.items()} if inside else {key: value}
    return flat


def missing_fields(flat: Mapping[Any, Any]) -> list[LanguageField]:
    """The fields that a file lacks, or that are needed and empty."""
    return [
        field
        for key, field in schema().items()
        if key not in flat or (field.needed and flat[key] in ([], {}))
    ]


def sound_fields(flat: Mapping[Any, Any]) -> tuple[dict[str, Any], list[str]]:
    """The fields that have the right type, and what is wrong with the others, each named by its key."""
    sound: dict[str, Any] = {}
    faults: list[str] = []
    for key, value in flat.items():
        found = list(_faults(key, value))
        faults += found
        if not found:
            sound[key] = value
    return sound, faults


def texts_in(value: Any) -> Iterator[str]:
    """All texts in a field's value, those that are names of counts too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, part in value.items():
            yield from texts_in([name] if isinstance(part, int | float) else part)
    elif isinstance(value, Sequence):
        for part in value:
            yield from texts_in(part)


def _faults(key: Any, value: Any) -> Iterator[str]:
    name = str(key).rpartition(".")[2]
    if name in ("True", "False"):
        yield f'{key}: YAML reads a bare yes or no as {name} (write "yes" or "no", in quotes)'
        return
    if key in SECTIONS:
        yield f"{key}: {shown(value)} is not names with values in braces"
        return
    if key not in schema():
        yield f"{key}: no such field"
        return
    field = schema()[key]
    if field.kind == "text":
        yield from _text_faults(key, value)
    elif field.kind == "words":
        yield from _word_faults(key, value)
    elif not isinstance(value, Mapping):
        yield f"{key}: {shown(value)} is not names with values in braces"
    else:
        if field.needed:
            yield from (f"{key}.{name} is missing" for name in field.names if value.get(name, []) == [])
        for name, part in value.items():
            if field.names and name not in field.names:
                yield f"{key}: {name} is none of {', '.join(field.names)}"
            elif not isinstance(name, str):
                yield f"{key}: {name!r} is not a text (put it in quotes)"
            elif field.kind in ("counts", "values"):
                yield from _number_faults(key, name, part, whole=field.kind == "counts")
            elif field.kind == "names":
                yield from _text_faults(f"{key}.{name}", part, may_be_empty=True)
            else:
                yield from _word_faults(f"{key}.{name}", part)
    for text in texts_in(value):
        if unicodedata.normalize("NFC", text) != text:
            yield f"{key}: {text!r} is not in Unicode's composed form (NFC), in which texts are read"
        if control := next(control_characters(text if field.kind != "text" else text.replace("\n", "")), ""):
            yield f"{key}: {text!r} has the control character {control!r}"
        # Phrases are looked up by their words.
        if key.startswith(f"{READING}.") and field.kind != "text" and not any(map(str.isalnum, text)):
            yield f"{key}: {text!r} has no letter or digit"


def control_characters(text: str) -> Iterator[str]:
    """The characters of a text that are no part of a word or sentence: line breaks, tabs, escapes."""
    return (character for character in text if unicodedata.category(character) == "Cc")


def _text_faults(key: str, value: Any, *, may_be_empty: bool = False) -> Iterator[str]:
    if not isinstance(value, str) or not (value.strip() or may_be_empty):
        yield f"{key}: {shown(value)} is not a text (put it in quotes)"


def _word_faults(key: str, value: Any) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{key}: {shown(value)} is not a list (put it in brackets)"
        return
    for word in value:
        if isinstance(word, bool):
            yield f"{key}: YAML reads a bare yes, no, on or off as {word} (put the word in quotes)"
        elif not isinstance(word, str) or not word.strip():
            yield f"{key}: {shown(word)} is not a text (put it in quotes)"


def _number_faults(key: str, name: str, value: Any, *, whole: bool) -> Iterator[str]:
    right = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    if not right or not value >= 0:
        yield f"{key}: {name} is {shown(value)}, not a {'whole number' if whole else 'number'}"
    elif value > LARGEST:
        yield f"{key}: {name} is {shown(value)}, more than a word says"
