"""Files of verdicts: a line each, written as soon as the judge has given it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ndino.common.files import write_text
from ndino.common.locks import BusyError, exclusive_lock
from ndino.common.parsing import parse_json
from ndino.judge.errors import JudgeError
from ndino.judge.ratings import VERDICTS

Line = Mapping[str, Any]
AGAIN = "remove the line and rerun: its answer is judged again"


@dataclass(frozen=True)
class JudgeVerdict:
    """What a judge wrote (None: no answer) and what of it was read: 0, 0.5 or 1; None where none could be."""

    value: float | None
    raw: str | None


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Make a folder of verdicts, and lock it against other processes.

    Raises:
        JudgeError: another process holds the lock.
    """
    folder.mkdir(parents=True, exist_ok=True)
    busy = f"{folder}: another process judges here (remedy: wait for it)"
    try:
        with exclusive_lock(folder / ".lock", busy):
            yield
    except BusyError as error:
        raise JudgeError(str(error)) from error


class VerdictFile:
    """The verdicts on one log of answers; ``key`` in a line is a hash of all that its verdict depends on."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def known(self) -> dict[str, JudgeVerdict]:
        """The verdicts by their keys. A last line that a kill has cut is left out.

        Those without an answer of the judge are left out too: a server may give one another time.

        Raises:
            JudgeError: another line is broken.
        """
        lines = (line for line in self.lines() if line["raw"] is not None)
        return {line["key"]: JudgeVerdict(line["verdict"], line["raw"]) for line in lines}

    def lines(self) -> Iterator[dict[str, Any]]:
        """All lines, checked; raises as `known`."""
        if not self.path.exists():
            return
        content = self.path.read_bytes()
        lines = content.split(b"\n")
        for row, line in enumerate(lines[:-1], start=1):
            try:
                found: Any = parse_json(line)
                fault = _fault(found)
            except ValueError as error:
                found, fault = None, str(error)
            if fault is not None:
                raise JudgeError(f"{self.path} row {row}: broken line: {fault} (remedy: {AGAIN})")
            yield found

    def write(self, lines: Iterable[Line]) -> None:
        """Replace the file, atomically."""
        write_text(self.path, "".join(map(_text, lines)))

    def append(self, lines: Iterable[Line]) -> None:
        """Add lines; they are on the disk when this returns."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write("".join(map(_text, lines)))
            file.flush()
            os.fsync(file.fileno())


def _text(line: Line) -> str:
    # A judge may write half of a surrogate pair, which UTF-8 cannot encode.
    text = json.dumps(line, ensure_ascii=False)
    return (text if text.isascii() else text.encode(errors="replace").decode()) + "\n"


def _fault(line: Any) -> str | None:
    if not isinstance(line, dict):
        return "not a JSON object"
    if not isinstance(line.get("key"), str):
        return "no key"
    value = line.get("verdict", "none")
    if value is not None and (isinstance(value, bool) or value not in VERDICTS.values()):
        return f"verdict is {value!r:.40}, not 0, 0.5, 1 or null"
    if not isinstance(line.get("raw", 0), str | None):
        return "no text of the judge"
    return None
