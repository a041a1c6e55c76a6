"""EXAMS-V: scanned multiple-choice exam questions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ndino.evaluation.tasks.framework.benchmark_task import BenchmarkTask
from ndino.evaluation.tasks.framework.instructions import letter_answer
from ndino.evaluation.tasks.framework.preparation import Document, prepare, require_letters
from ndino.evaluation.tasks.framework.scores import exact_match, score_letter

if TYPE_CHECKING:
    from ndino.evaluation.tasks.framework.benchmark_task import Rows
    from ndino.formats.questions.table import Questions

# The options are part of the image, so their number is unknown; no exam of the set goes beyond H.
LETTERS = "ABCDEFGH"


class ExamsV(BenchmarkTask):
    SOURCE = "swap-uniba/EXAMS-V_{}"

    def process_docs(self, dataset: Rows) -> Questions:
        """Check the rows, and exchange images for the shuffled control."""
        prepared = prepare(dataset, self.source, "question", "answer")
        require_letters(prepared, self.source, LETTERS)
        return prepared

    def doc_to_text(self, doc: Document) -> str:
        return doc["question"] + letter_answer(self.code)

    def process_results(self, doc: Document, results: Sequence[str]) -> dict[str, Any]:
        return {
            "exact_match": exact_match(results[0], [doc["answer"]]),
            **score_letter(results[0], doc["answer"], LETTERS, self.code),
        }
