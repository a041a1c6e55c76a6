"""The journal of an unfinished shard: one JSON line per item, flushed at once, so a killed run loses one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ndino.common.files import atomic_file
from ndino.common.parsing import parse_json


def json_line(content: Any) -> bytes:
    """``content`` as one line of JSON in UTF-8; if it holds lone surrogates, which UTF-8 lacks, in ASCII."""
    try:
        return json.dumps(content, ensure_ascii=False, allow_nan=False).encode() + b"\n"
    except UnicodeEncodeError:
        return json.dumps(content, allow_nan=False).encode() + b"\n"


def json_rows(path: Path) -> Iterator[Any]:
    """The rows of a complete JSONL file that this package wrote."""
    with path.open("rb") as file:
        for line in file:
            yield parse_json(line)


def write_rows(path: Path, rows: Iterable[Any]) -> None:
    """Write a JSONL file atomically."""
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        for row in rows:
            file.write(json_line(row))


class Journal:
    """Entries by item number; each is a JSON object with its number under ``item``.

    A killed run may leave a torn line at the end of the file. Opening it truncates the file before the first
    line that is not complete.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._places: dict[int, tuple[int, int]] = {}  # item number: offset and length in bytes
        path.touch()
        end = 0
        with path.open("rb") as file:
            for line in file:
                number = _number(line)
                if number is None:
                    break
                self._places.setdefault(number, (end, len(line)))
                end += len(line)
        self._file = path.open("r+b")
        self._file.truncate(end)
        self._file.seek(end)

    def __contains__(self, number: int) -> bool:
        return number in self._places

    def __len__(self) -> int:
        return len(self._places)

    def numbers(self) -> list[int]:
        """The numbers of the items in the journal, ascending."""
        return sorted(self._places)

    def append(self, number: int, entry: dict[str, Any]) -> None:
        """Add the entry of an item and flush it to the operating system."""
        line = json_line({"item": number, **entry})
        self._places[number] = (self._file.tell(), len(line))
        self._file.write(line)
        self._file.flush()

    def sort(self) -> None:
        """Sort the lines by item number, with one line in memory at a time, and close the journal."""
        with atomic_file(self._path) as temporary, temporary.open("wb") as file:
            for number in self.numbers():
                offset, length = self._places[number]
                self._file.seek(offset)
                file.write(self._file.read(length))
        self.close()

    def close(self) -> None:
        self._file.close()


def _number(line: bytes) -> int | None:
    """The item number of a line, or None if the line is torn or not an entry."""
    if not line.endswith(b"\n"):
        return None
    try:
        entry = parse_json(line)
    except ValueError:
        return None
    number = entry.get("item") if isinstance(entry, dict) else None
    return number if isinstance(number, int) else None
