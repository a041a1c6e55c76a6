"""The labelled rows that a judge is measured on: ``labelled/CODE.jsonl``, of our own writing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ndino.common.errors import UsageError
from ndino.common.files import sha256_of
from ndino.common.parsing import parse_row
from ndino.judge.errors import JudgeError
from ndino.judge.prompts import JudgedItem, references_of
from ndino.judge.ratings import VERDICTS

FOLDER = Path(__file__).parent / "labelled"


@dataclass(frozen=True)
class LabelledRow:
    """An answer with its verdict by hand; ``kind`` says what is right or wrong about it."""

    kind: str
    item: JudgedItem
    label: float


@dataclass(frozen=True)
class LabelledSet:
    """The rows in one language; ``digest`` is the SHA-256 of their file."""

    code: str
    rows: tuple[LabelledRow, ...]
    digest: str


def labelled_set(code: str) -> LabelledSet:
    """The rows in the language with this code.

    Raises:
        UsageError: there are none.
        JudgeError: a row is broken; names file and row.
    """
    path = FOLDER / f"{code}.jsonl"
    if not path.is_file():
        there = ", ".join(sorted(found.stem for found in FOLDER.glob("*.jsonl")))
        raise UsageError(
            f"--lang {code}: no labelled answers (there are some in: {there}) "
            f"(remedy: write {path} with rows of the same form)"
        )
    rows: list[LabelledRow] = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            rows.append(_row(parse_row(line), rows))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            reason = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
            raise JudgeError(
                f"{path} row {number}: {reason} (remedy: kind, question, gold, answer and a verdict of 0, "
                "0.5 or 1, the same for all of its kind)"
            ) from error
    if not rows:
        raise JudgeError(f"{path}: no rows (remedy: restore the file)")
    return LabelledSet(code, tuple(rows), sha256_of(path))


def _row(found: Any, before: Sequence[LabelledRow]) -> LabelledRow:
    if not isinstance(found, dict):
        raise ValueError("not a JSON object")
    kind, question, answer = (found[name].strip() for name in ("kind", "question", "answer"))
    references, label = references_of(found["gold"]), found["verdict"]
    if not (kind and question and answer and references):
        raise ValueError("a text is empty")
    if isinstance(label, bool) or label not in VERDICTS.values():
        raise ValueError(f"verdict is {label!r:.40}")
    # The figures of a kind stand beside its one label.
    if (other := next((row.label for row in before if row.kind == kind), label)) != label:
        raise ValueError(
            f"the kind {kind!r:.40} has the verdict {label:g} here and {other:g} in an earlier row"
        )
    return LabelledRow(kind, JudgedItem(question, references, found["answer"]), float(label))
