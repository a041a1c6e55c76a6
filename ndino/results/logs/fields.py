"""Reading of JSON and of its fields; what cannot be used is a `ResultsError` with file, row and reason."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ndino.common.errors import UserError
from ndino.common.parsing import parse_json

WRITE_AGAIN = "rerun the step that writes it"


class ResultsError(UserError):
    """Input that cannot be used; its message reads "FILE row N: reason (remedy: what to do)"."""

    def __init__(self, path: Path, reason: str, *, row: int | None = None, remedy: str) -> None:
        where = f"{path} row {row}" if row is not None else str(path)
        super().__init__(f"{where}: {reason} (remedy: {remedy})")


def read_json(path: Path) -> dict[str, Any]:
    try:
        value = parse_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ResultsError(path, "file is missing", remedy=WRITE_AGAIN) from None
    except (OSError, ValueError) as error:
        raise ResultsError(path, f"not readable as JSON: {error}", remedy=WRITE_AGAIN) from None
    if not isinstance(value, dict):
        raise ResultsError(path, "not a JSON object", remedy=WRITE_AGAIN)
    return value


def read_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (row number from 1, object) for each line of a JSONL file; a blank line is an error."""
    remedy = "remove the line or rerun the evaluation"
    try:
        with path.open("rb") as lines:
            for row, line in enumerate(lines, start=1):
                try:
                    value = parse_json(line)
                except ValueError as error:
                    raise ResultsError(path, f"broken line: {error}", row=row, remedy=remedy) from None
                if not isinstance(value, dict):
                    raise ResultsError(path, "not a JSON object", row=row, remedy=remedy)
                yield row, value
    except FileNotFoundError:
        raise ResultsError(path, "file is missing", remedy="rerun the evaluation, it is unfinished") from None


def field(
    value: dict[str, Any], key: str, kind: type | tuple[type, ...], path: Path, row: int | None = None
) -> Any:
    """Get the field ``key`` and check its type; true, false, NaN and infinity do not count as numbers."""
    found = value.get(key)
    unwanted_bool = isinstance(found, bool) and kind is not bool  # a bool is also an int in Python
    if key not in value or not isinstance(found, kind) or unwanted_bool:
        names = " or ".join(k.__name__ for k in (kind if isinstance(kind, tuple) else (kind,)))
        raise ResultsError(
            path, f"field '{key}' must be {names}, found {found!r:.80}", row=row, remedy=WRITE_AGAIN
        )
    # Not math.isfinite, which fails for a whole number beyond any float. NaN compares as false.
    if isinstance(found, (int, float)) and not abs(found) <= sys.float_info.max:
        raise ResultsError(
            path, f"field '{key}' is {found!s:.80}, not a finite number", row=row, remedy=WRITE_AGAIN
        )
    return found


def number_fields(value: dict[str, Any], key: str, path: Path, row: int | None = None) -> dict[str, float]:
    table = field(value, key, dict, path, row)
    return {name: field(table, name, (int, float), path, row) for name in table}


def interval_field(value: dict[str, Any], key: str, path: Path) -> tuple[float, float]:
    """Get an interval, two numbers with the lower one first."""
    given = field(value, key, (list, tuple), path)
    named = {f"{key}[{place}]": bound for place, bound in enumerate(given)}
    found = [float(field(named, name, (int, float), path)) for name in named]
    if len(found) != 2 or found[0] > found[1]:
        raise ResultsError(path, f"field '{key}' is no interval: {given!r:.80}", remedy=WRITE_AGAIN)
    return found[0], found[1]
