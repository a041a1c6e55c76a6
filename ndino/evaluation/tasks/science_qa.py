"""ScienceQA: multiple choice from school science, those questions that have an image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ndino.evaluation.tasks.framework.multiple_choice import (
    LETTERS,
    LetteredQuestion,
    MultipleChoice,
    letter_of,
    with_context,
)
from ndino.evaluation.tasks.framework.preparation import without_imageless

if TYPE_CHECKING:
    from ndino.formats.questions.table import Questions


class ScienceQA(MultipleChoice):
    SOURCE = "ndino/ScienceQA_{}"
    COLUMNS = ("question", "choices", "answer")

    def usable_rows(self, found: Questions) -> Questions:
        """The rows with an image: about half of the questions of the whole set have none."""
        return without_imageless(found)

    def choice(self, fields: Mapping[str, Any]) -> LetteredQuestion:
        options, answer = fields["choices"], fields["answer"]
        if not isinstance(options, list):
            raise ValueError(f"choices is {options!r:.80}, not a list of texts")
        # The published set counts the options from 0.
        if isinstance(answer, int) and not isinstance(answer, bool) and 0 <= answer < len(LETTERS):
            answer = LETTERS[answer]
        question = with_context(fields["question"], fields.get("hint"))
        return LetteredQuestion(question, tuple(options), letter_of(answer))
