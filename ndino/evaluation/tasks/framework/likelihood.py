"""Multiple choice by likelihood: which letters a row offers, for `ndino.evaluation.inference.letters`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ndino.evaluation.tasks.framework.preparation import Document
from ndino.formats.questions.faults import is_blank

if TYPE_CHECKING:
    from ndino.formats.questions.table import Questions


def with_letters(prepared: Questions, choices: Callable[[Document], Mapping[str, str]]) -> Questions:
    """The rows with the column ``letters``: those of the options that have a text.

    A row of which no option has one offers all of them: their texts are in its image.

    Args:
        choices: gives the options' texts by letter.
    """
    offered = []
    for row in prepared.rows:
        found = choices(row.fields)
        offered.append(
            "".join(letter for letter, text in found.items() if not is_blank(text)) or "".join(found)
        )
    return prepared.with_texts("letters", offered)
