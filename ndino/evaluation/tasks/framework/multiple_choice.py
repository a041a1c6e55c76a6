"""Questions with lettered options: rows of any layout become question, options and the right letter."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from ndino.common.errors import shown
from ndino.evaluation.tasks.framework.benchmark_task import BenchmarkTask
from ndino.evaluation.tasks.framework.instructions import lettered_prompt
from ndino.evaluation.tasks.framework.likelihood import with_letters
from ndino.evaluation.tasks.framework.preparation import (
    Document,
    all_rows,
    faulty_rows,
    prepare,
    require_columns,
)
from ndino.evaluation.tasks.framework.question_groups import RowOfGroup, mean_of_groups
from ndino.evaluation.tasks.framework.scores import score_letter
from ndino.formats.questions.faults import is_blank, text_fault
from ndino.formats.questions.rows import Row
from ndino.languages.answers import reader

if TYPE_CHECKING:
    from ndino.evaluation.tasks.framework.benchmark_task import Rows
    from ndino.formats.questions.table import Questions

# Those that an option may have; a question has two at least.
LETTERS = "ABCDEFGH"


@dataclass(frozen=True)
class LetteredQuestion:
    """A question with its options; ``answer`` is the letter of the right one.

    Raises:
        ValueError: it cannot be asked: too few or too many options, an empty one, or an answer that is none
            of their letters.
    """

    question: str
    options: tuple[str, ...]
    answer: str

    def __post_init__(self) -> None:
        if not 2 <= len(self.options) <= len(LETTERS):
            raise ValueError(f"has {len(self.options)} options, not 2 to {len(LETTERS)}")
        for letter, option in zip(LETTERS, self.options, strict=False):
            if (fault := text_fault(option, f"option {letter}")) is not None:
                raise ValueError(fault[0])
        if self.answer not in LETTERS[: len(self.options)] or len(self.answer) != 1:
            last = LETTERS[len(self.options) - 1]
            raise ValueError(f"answer {shown(repr(self.answer))} is no letter from A to {last}")


def letter_of(value: Any) -> str:
    """The letter that a field gives: "b", " B ", "(B)"; anything else as it stands, for a message."""
    return value.strip().strip("()").upper() if isinstance(value, str) else repr(value)


def stated_options(values: Sequence[Any]) -> tuple[Any, ...]:
    """The options of a row that may have fewer than its columns: without those behind the last one stated.

    Args:
        values: of the columns in the letters' order; None, blank texts and "nan" stand for a missing option.
    """
    stated = [None if value is None or _is_missing(value) else value for value in values]
    there = [n for n, value in enumerate(stated, 1) if value is not None]
    return tuple(stated[: max(there, default=0)])


def _is_missing(value: Any) -> bool:
    # Spreadsheets and pandas write an empty cell as "nan".
    return isinstance(value, str) and (is_blank(value) or value.strip().lower() == "nan")


def with_context(question: Any, *context: Any) -> Any:
    """A question behind the texts that it needs, each on a line of its own; missing ones are left out."""
    texts = [text.strip() for text in context if isinstance(text, str) and not _is_missing(text)]
    return "\n".join([*texts, question]) if isinstance(question, str) else question


def _with_twins_noted(found: Questions) -> Questions:
    """The rows with a note of those whose right option stands at two letters, of which only one counts."""
    twins = [
        (number, f"option {fields['answer']}, the right one, is also option {twin}, which counts as wrong")
        for number, fields in enumerate(row.fields for row in found.rows)
        if fields and (twin := _twin(fields["options"], LETTERS.index(fields["answer"]))) is not None
    ]
    return replace(found, notes=(*found.notes, faulty_rows(found, twins))) if twins else found


def _twin(options: Sequence[str], right: int) -> str | None:
    texts = [" ".join(option.split()) for option in options]
    return next(
        (LETTERS[place] for place, text in enumerate(texts) if text == texts[right] and place != right), None
    )


class MultipleChoice(BenchmarkTask):
    """A benchmark of lettered options on one image.

    A row of its log says besides which ``letter`` was read from the answer, null for none; ``target`` is the
    right one. Together they show whether a model prefers a position.

    Attributes:
        COLUMNS: those that the data must have, besides the image.
    """

    COLUMNS: ClassVar[tuple[str, ...]]

    @abstractmethod
    def choice(self, fields: Mapping[str, Any]) -> LetteredQuestion:
        """The question of a row as it is in the data; a field of ``COLUMNS`` that it lacks is None.

        Raises:
            ValueError: what is wrong with the row.
        """

    def usable_rows(self, found: Questions) -> Questions:
        """The rows that are asked, each with its ``image``; what is left out is in the notes."""
        return found

    def process_docs(self, dataset: Rows) -> Questions:
        """Check the rows, bring them to one form, and exchange images for the shuffled control.

        Documents have the columns ``question``, with its context, ``options`` and ``answer``.
        """
        found = all_rows(dataset, self.source)
        if any(row.fault is None for row in found.rows):
            require_columns(found, self.source, *self.COLUMNS)
        found = self.usable_rows(found)
        found = replace(found, rows=tuple(map(self._in_one_form, found.rows)))
        return prepare(_with_twins_noted(found), self.source, "question", "answer")

    def process_docs_by_likelihood(self, dataset: Rows) -> Questions:
        """`process_docs` with the letters of each row's options."""
        return with_letters(self.process_docs(dataset), _lettered)

    def _in_one_form(self, row: Row) -> Row:
        if row.fault is not None:
            return row
        try:
            choice = self.choice({**dict.fromkeys(self.COLUMNS), **row.fields})
        except ValueError as error:
            return replace(row, fields={}, fault=str(error))
        asked = {"question": choice.question, "options": [*choice.options], "answer": choice.answer}
        return replace(row, fields={**row.fields, **asked})

    def doc_to_text(self, doc: Document) -> str:
        return lettered_prompt(doc["question"], _lettered(doc), self.code)

    def process_results(self, doc: Document, results: Sequence[str]) -> dict[str, Any]:
        options = _lettered(doc)
        return score_letter(results[0], doc["answer"], "".join(options), self.code, options)

    def log_fields(self, doc: Document, answer: str) -> dict[str, Any]:
        options = _lettered(doc)
        return {"letter": reader(self.code).letter(answer, "".join(options), options)}


class CircularChoice(MultipleChoice):
    """A benchmark that asks each question once for each rotation of its options, as MMBench does.

    In rotation 1 the first option comes last, and so on, so that the right one stands at every letter once.
    ``circular`` is 1 for a question that is answered rightly in all of them. The log has it in the row of
    rotation 0 alone, like ``plain``, the score of the question as the data have it. Every row of the log says
    its ``question_group``, the same for all rotations of a question, how many these are (``group_size``), and
    its ``rotation``.
    """

    def process_docs(self, dataset: Rows) -> Questions:
        """As `MultipleChoice.process_docs`, then each row once for each of its options, in a row."""
        found = super().process_docs(dataset)
        counts = [len(options) for options in found.column("options")]
        turns = [(row, turn) for row, count in enumerate(counts) for turn in range(count)]
        rotated = found.select([row for row, _ in turns])
        rows = [_rotated(each, *place) for each, place in zip(rotated.rows, turns, strict=True)]
        return replace(rotated, rows=tuple(rows))

    def process_results(self, doc: Document, results: Sequence[str]) -> dict[str, Any]:
        scored = super().process_results(doc, results)
        group, turn, right = doc["question_group"], doc["rotation"], scored["robust"]
        row = RowOfGroup(group, turn, len(doc["options"]), right == 1)
        return {"circular": row, "plain": replace(row, first_alone=True), **scored}

    def question_group(self, doc: Document) -> str:
        return doc["question_group"]

    def log_fields(self, doc: Document, answer: str) -> dict[str, Any]:
        place = {name: doc[name] for name in ("question_group", "rotation")}
        return {**place, "group_size": len(doc["options"]), **super().log_fields(doc, answer)}

    # The totals that YAMLs name.
    all_right = mean_of_first = staticmethod(mean_of_groups)


def _rotated(row: Row, number: int, turn: int) -> Row:
    options, answer = row.fields["options"], LETTERS.index(row.fields["answer"])
    turned = {
        "options": options[turn:] + options[:turn],
        "answer": LETTERS[(answer - turn) % len(options)],
        "question_group": str(number),
        "rotation": turn,
    }
    return replace(row, fields={**row.fields, **turned})


def _lettered(doc: Document) -> dict[str, str]:
    return dict(zip(LETTERS, doc["options"], strict=False))
