"""MTVQA: questions on text in images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ndino.evaluation.tasks.framework.benchmark_task import BenchmarkTask
from ndino.evaluation.tasks.framework.instructions import short_answer
from ndino.evaluation.tasks.framework.preparation import Document, prepare
from ndino.evaluation.tasks.framework.scores import contains_text, score_short_answer

if TYPE_CHECKING:
    from ndino.evaluation.tasks.framework.benchmark_task import Rows
    from ndino.formats.questions.table import Questions


class Mtvqa(BenchmarkTask):
    SOURCE = "swap-uniba/MTVQA_{}"

    def process_docs(self, dataset: Rows) -> Questions:
        """Check the rows, and exchange images for the shuffled control."""
        return prepare(dataset, self.source, "question", "answer")

    def doc_to_text(self, doc: Document) -> str:
        return doc["question"] + short_answer(self.code)

    def process_results(self, doc: Document, results: Sequence[str]) -> dict[str, Any]:
        answer, target = results[0], doc["answer"]
        return {
            **score_short_answer(answer, [target], self.code),
            "substring": contains_text(answer, target),
        }
