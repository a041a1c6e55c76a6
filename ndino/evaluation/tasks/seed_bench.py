"""SEED-Bench: multiple choice on photographs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ndino.evaluation.tasks.framework.benchmark_task import BenchmarkTask
from ndino.evaluation.tasks.framework.instructions import lettered_prompt
from ndino.evaluation.tasks.framework.likelihood import with_letters
from ndino.evaluation.tasks.framework.multiple_choice import (
    CircularChoice,
    LetteredQuestion,
    letter_of,
    stated_options,
)
from ndino.evaluation.tasks.framework.preparation import Document, prepare, require_letters
from ndino.evaluation.tasks.framework.scores import score_letter

if TYPE_CHECKING:
    from ndino.evaluation.tasks.framework.benchmark_task import Rows
    from ndino.formats.questions.table import Questions

LETTERS = "ABCD"
_COLUMNS = tuple(f"choice_{letter.lower()}" for letter in LETTERS)


class SeedBench(BenchmarkTask):
    SOURCE = "swap-uniba/SEED-Bench_{}"

    def process_docs(self, dataset: Rows) -> Questions:
        """Check the rows, and exchange images for the shuffled control."""
        prepared = prepare(dataset, self.source, "question", "answer", *_COLUMNS, may_be_empty=_COLUMNS)
        require_letters(prepared, self.source, LETTERS)
        return prepared

    def process_docs_by_likelihood(self, dataset: Rows) -> Questions:
        """`process_docs` with the letters of each row's options."""
        return with_letters(self.process_docs(dataset), _choices)

    def doc_to_text(self, doc: Document) -> str:
        return lettered_prompt(doc["question"], _choices(doc), self.code)

    def process_results(self, doc: Document, results: Sequence[str]) -> dict[str, Any]:
        answer = results[0]
        return {
            # The paper's score looks at the first character only.
            "seed_image": float(answer.strip()[:1].lower() == doc["answer"].strip().lower()),
            **score_letter(answer, doc["answer"], LETTERS, self.code, _choices(doc)),
        }


class SeedBenchCircular(CircularChoice):
    """The same questions with all rotations of their options; an empty option at the end is none."""

    SOURCE = SeedBench.SOURCE
    COLUMNS = ("question", *_COLUMNS, "answer")

    def choice(self, fields: Mapping[str, Any]) -> LetteredQuestion:
        options = stated_options([fields[column] for column in _COLUMNS])
        return LetteredQuestion(fields["question"], options, letter_of(fields["answer"]))


def _choices(doc: Document) -> dict[str, str]:
    return {letter: doc[column] for letter, column in zip(LETTERS, _COLUMNS, strict=True)}
