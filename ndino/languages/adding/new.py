"""Writes a new language's file: what libraries know is filled in, the rest is in English and marked TODO."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from ndino.common.errors import UsageError
from ndino.common.files import write_text
from ndino.common.parsing import parse_yaml
from ndino.languages import language as languages
from ndino.languages.adding.from_cldr import reading_from_cldr
from ndino.languages.adding.probes import LARGEST
from ndino.languages.fields.schema import MINIATURE, READING, LanguageField, schema
from ndino.languages.known.locales import decimal_of, locale_of
from ndino.languages.known.tool_codes import TOOLS, known_code, script_of_language

TODO = "TODO"
WIDTH = 106
HEAD = """\
# {name}: everything that the kit knows of the language. README.md beside this file describes the fields.
# What is marked {todo} is in English: take away the "# " before it, and translate. Write words in small
# letters, the most usual one first. A list may be longer or shorter than in English; [] says that there are
# no such words. What stays behind a "#" leaves out its rule: `ndino language check {code}` says which.
# Derived, so not written here: {derived}."""


def write_new(code: str) -> Path:
    """Write the file of a language that has none, and return its path.

    Raises:
        UsageError: there is one.
    """
    path = languages.FOLDER / f"{code}.yaml"
    if path.exists():
        raise UsageError(f"{path}: exists (remedy: edit it, or remove it first)")
    write_text(path, "\n".join(_lines(code)) + "\n")
    return path


def _lines(code: str) -> Iterator[str]:
    locale = locale_of(code)
    known = _known(code, locale)
    derived = [f"{tool} {name}" for tool in TOOLS if (name := known_code(tool, code))]
    numbers_known = bool(known_code("num2words", code))
    yield HEAD.format(name=known.get("name", code), todo=TODO, code=code, derived=", ".join(derived))
    before = ""
    for field in schema().values():
        section, _, name = field.key.rpartition(".")
        if section and section != before:
            yield f"{section}:"
        before = section
        lines = _field(field, name, known, numbers_known=numbers_known)
        yield from (f"  {line}" if section else line for line in lines)
    yield f"# {TODO} {MINIATURE}: the words of the miniature's images; docs/miniature.md describes them."
    yield from (f"# {line}".rstrip() for line in _english_miniature())


def _known(code: str, locale: Any) -> dict[str, Any]:
    """The fields that libraries know, by the keys of `schema`."""
    from babel import Locale

    found: dict[str, Any] = {
        "name": Locale("en").languages.get(code.replace("-", "_"))
        or Locale("en").languages.get(code.split("-")[0]),
        "endonym": locale and locale.language_name,
        "script": script_of_language(code),
        f"{READING}.decimal": decimal_of(code) if locale else None,
    }
    if locale:
        found |= {f"{READING}.{name}": value for name, value in reading_from_cldr(locale).items()}
    return {key: value for key, value in found.items() if value}


def _field(
    field: LanguageField, name: str, known: Mapping[str, Any], *, numbers_known: bool
) -> Iterator[str]:
    """A field as it is known, or in English behind a comment sign."""
    if field.key in known:
        yield from _yaml(name, known[field.key])
    elif not field.rare:
        yield f"# {TODO} {name}: {field.holds}"
        english = _all_numbers() if field.key == "number_words" and not numbers_known else field.english
        yield from (f"# {line}" for line in _yaml(name, english))
    else:
        yield f"# {name}: {field.holds}"


def _yaml(name: str, value: Any) -> list[str]:
    """A field as lines of YAML, in the style of the files that are there."""
    key = _scalar(name)
    if isinstance(value, str):
        return [f"{key}: {_scalar(value)}"]
    if isinstance(value, Mapping) and value and isinstance(next(iter(value.values())), list):
        return [f"{key}:", *(f"  {line}" for part, words in value.items() for line in _yaml(part, words))]
    if isinstance(value, Mapping):
        opening, closing, items = "{", "}", [f"{_scalar(word)}: {number}" for word, number in value.items()]
    else:
        opening, closing, items = "[", "]", list(map(_scalar, value))
    line = f"{key}: {opening}{', '.join(items)}{closing}"
    if len(line) <= WIDTH:
        return [line]
    # Items are not broken: a name in braces must stand on one line.
    lines = [f"{key}: {opening}", " "]
    for item in items:
        if len(lines[-1]) + len(item) > WIDTH:
            lines.append(" ")
        lines[-1] += f" {item},"
    lines[-1] = lines[-1].removesuffix(",") + closing
    return lines


def _scalar(text: str) -> str:
    """A text as YAML writes it inside brackets: in quotes where it would be read as anything else."""
    try:
        plain = parse_yaml(f"[{text}]") == [text]
    except yaml.YAMLError:
        plain = False
    return text if plain else json.dumps(text, ensure_ascii=False)


def _all_numbers() -> dict[str, int]:
    """Every number that answers are tried with, in English words."""
    from num2words import num2words

    return {num2words(number, lang="en"): number for number in (*range(LARGEST + 1), 1000)}


def _english_miniature() -> list[str]:
    lines = (languages.FOLDER / "en.yaml").read_text(encoding="utf-8").splitlines()
    start = lines.index(f"{MINIATURE}:")
    more = (
        place
        for place in range(start + 1, len(lines))
        if lines[place][:1].isalpha() or lines[place][:1] == '"'
    )
    return lines[start : next(more, len(lines))]
