"""JSON, YAML and templates that anybody may have written: what cannot be used is one ValueError, and soon.

Brackets in brackets end Python's parsers in a RecursionError, which is no ValueError, and a few YAML aliases
of aliases stand for more values than there is memory.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Any, BinaryIO

from ndino.common.errors import printable, shown

NESTED, CUT_OFF = "it is nested too deeply", "the list is cut off"
NOT_NAMES = "has a brace without its partner, or more in braces than a name"
REPEATED = "repeated key:"
# Values that a YAML file may hold, aliases counted as what they stand for; the largest of ours has 4,000.
MOST_VALUES = 100_000
_BYTES = 256 * 1024  # of a list that are read at a time
_TOKEN = 16  # no literal, number's beginning or escape that the end of the text may cut is longer
_SPACE = re.compile(r"[ \t\n\r]*")
_NAME = re.compile(r"(?!\d+$)[^.\[\]]+")


class NoListError(ValueError):
    """JSON that is something else than a list."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of its keys and values. Python alone takes the last value of a key that is given twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))
        raise ValueError(f"the key '{shown(twice)}' is given twice")
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_unique)


def parse_json(text: str | bytes) -> Any:
    """``json.loads``, with a ValueError for what is nested too deeply.

    Raises:
        ValueError: it is no JSON, is not UTF-8, or is nested too deeply.
    """
    return _parsed(text, None)


def parse_row(text: str | bytes) -> Any:
    """`parse_json` of a row that somebody wrote, with a ValueError also for a key that is given twice."""
    return _parsed(text, _unique)


def _parsed(text: str | bytes, objects: Callable[[list[tuple[str, Any]]], Any] | None) -> Any:
    try:
        return json.loads(text, object_pairs_hook=objects)
    except RecursionError:
        raise ValueError(NESTED) from None


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        ValueError: as `parse_json`.
        OSError: it cannot be read.
    """
    return parse_json(path.read_text(encoding="utf-8"))


def parse_yaml(text: str) -> Any:
    """``yaml.safe_load``, with a MarkedYAMLError for what is nested too deeply or stands for too many values.

    Raises:
        yaml.YAMLError: it is no YAML, more than can be used, or gives a key twice (its context is then
            `REPEATED`), of which PyYAML alone takes the last and says nothing.
    """
    import yaml

    try:
        content = yaml.load(text, _unique_key_loader())
    except RecursionError:
        raise yaml.MarkedYAMLError(problem=NESTED) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position)
        raise yaml.MarkedYAMLError(
            problem=f"the character U+{ord(text[error.position]):04X} cannot be in it",
            problem_mark=yaml.Mark("", error.position, line, 0, None, 0),
        ) from None
    left = [content]
    for _ in range(MOST_VALUES):
        if not left:
            return content
        value = left.pop()
        left += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    raise yaml.MarkedYAMLError(problem=f"it stands for more than {MOST_VALUES:,} values")


@cache
def _unique_key_loader() -> Any:
    # Here, since PyYAML is not there yet when the environments are made.
    import yaml

    class UniqueKeyLoader(yaml.SafeLoader):
        def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
            try:
                return super().construct_object(node, deep=deep)
            except (ValueError, AttributeError, LookupError):
                # Of the form of one, such as 2020-13-45, or said to be one: !!bool x.
                raise yaml.MarkedYAMLError(
                    problem=f"{shown(node.value)} is no date, number or truth value (put it in quotes)",
                    problem_mark=node.start_mark,
                ) from None

        # Before merges ("<<"): a mapping may say again what they bring.
        def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
            node = super().compose_mapping_node(anchor)
            first: dict[tuple[str, str], yaml.Node] = {}
            for key, _ in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    continue
                if (before := first.setdefault((key.tag, key.value), key)) is not key:
                    raise yaml.MarkedYAMLError(
                        context=REPEATED,
                        problem=f"{printable(key.value)} is given twice "
                        f"(first in line {before.start_mark.line + 1})",
                        problem_mark=key.start_mark,
                    )
            return node

    return UniqueKeyLoader


def list_items(file: BinaryIO) -> Iterator[Any]:
    """The items of a JSON list, one after the other, with one of them in memory at a time.

    Args:
        file: UTF-8, with or without a byte order mark.

    Raises:
        NoListError: it is no list.
        ValueError: the next item is broken, nested too deeply or gives a key twice, or the list does not go
            on or end behind it.
    """
    text = _Window(file)
    if text.take() != "[":
        raise NoListError("it is no list")
    if (sign := text.take()) != "]":
        text.put_back()
        while sign != "]":
            value = text.value()
            if (sign := text.take()) not in (",", "]"):
                raise ValueError("the list does not go on or end behind it" if sign else CUT_OFF)
            yield value
    if text.take():
        raise ValueError("more text behind the list")


class _Window:
    """The part of a text that is in memory, and the place in it up to which it was taken."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._decoder = file, codecs.getincrementaldecoder("utf-8-sig")()
        self._text, self._place = "", 0

    def take(self) -> str:
        """The next character that is no white space; empty at the end."""
        while True:
            self._place = _SPACE.match(self._text, self._place).end()  # pyright: ignore[reportOptionalMemberAccess]
            if self._place < len(self._text):
                self._place += 1
                return self._text[self._place - 1]
            if not self._grow():
                return ""

    def put_back(self) -> None:
        """Undo a `take`."""
        self._place -= 1

    def value(self) -> Any:
        """The next value."""
        if self.take():
            self.put_back()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._place)
            except RecursionError:
                raise ValueError(NESTED) from None
            except json.JSONDecodeError as error:
                open_string = error.msg.startswith("Unterminated string")
                if (open_string or error.pos + _TOKEN > len(self._text)) and self._grow():
                    continue
                if open_string or error.pos >= len(self._text.rstrip()):
                    raise ValueError(CUT_OFF) from None
                around = self._text[max(error.pos - 20, self._place) : error.pos + 20]
                raise ValueError(f"{error.msg} near {around!r}") from None
            # The end of the text may have cut a number.
            if end + _TOKEN <= len(self._text) or not self._grow():
                self._place = end
                return value

    def _grow(self) -> bool:
        """Read on, and drop what was taken; whether there was more."""
        more = self._file.read(max(_BYTES, len(self._text) - self._place))
        decoded = self._decoder.decode(more, final=not more)
        if more:
            self._text, self._place = self._text[self._place :] + decoded, 0
        return bool(more)


def names_in_braces(template: str) -> list[str] | None:
    """The names in braces of a template for `str.format`, in their order; None where it has `NOT_NAMES`.

    A format (``{name:d}``), a conversion (``{name!r}``), an index, an attribute or a number in braces would
    fail only when the template is filled in, or print something else.
    """
    try:
        fields = [each[1:] for each in Formatter().parse(template) if each[1] is not None]
    except ValueError:  # a single brace
        return None
    if any(form or way or not _NAME.fullmatch(str(name)) for name, form, way in fields):
        return None
    return [str(name) for name, _, _ in fields]
