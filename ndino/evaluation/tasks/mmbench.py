"""MMBench: multiple choice on photographs, each question with all rotations of its options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ndino.evaluation.tasks.framework.multiple_choice import (
    CircularChoice,
    LetteredQuestion,
    letter_of,
    stated_options,
    with_context,
)
from ndino.evaluation.tasks.framework.preparation import without_rows

if TYPE_CHECKING:
    from ndino.formats.questions.table import Questions

# Columns of options; most rows have four or fewer.
OPTIONS = "ABCDE"
# MMBench's own files hold the rotations too: rotation R of question N has the index N + R * 1,000,000.
ROTATION = 1_000_000


class MMBench(CircularChoice):
    SOURCE = "ndino/MMBench_{}"
    COLUMNS = ("question", "A", "B", "answer")

    def usable_rows(self, found: Questions) -> Questions:
        """The rows but those that are rotations of others, as in MMBench's own files: all are made here."""
        if "index" not in found.column_names:
            return found
        indices = [_number(row.fields.get("index")) for row in found.rows]
        known = {*indices}
        rotations = [
            row
            for row, index in enumerate(indices)
            if index is not None and index >= ROTATION and index % ROTATION in known
        ]
        return without_rows(found, [(row, "left out: a rotation of another row") for row in rotations])

    def choice(self, fields: Mapping[str, Any]) -> LetteredQuestion:
        options = stated_options([fields.get(letter) for letter in OPTIONS])
        question = with_context(fields["question"], fields.get("hint"))
        return LetteredQuestion(question, options, letter_of(fields["answer"]))


def _number(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return None
