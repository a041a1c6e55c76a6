"""LLaVA-Bench: long answers on photographs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ndino.evaluation.tasks.framework.benchmark_task import BenchmarkTask
from ndino.evaluation.tasks.framework.preparation import Document, prepare
from ndino.evaluation.tasks.framework.scores import score_language, score_long_answer

if TYPE_CHECKING:
    from ndino.evaluation.tasks.framework.benchmark_task import Rows
    from ndino.formats.questions.table import Questions


class LlavaBench(BenchmarkTask):
    SOURCE = "swap-uniba/WILD_{}"

    def process_docs(self, dataset: Rows) -> Questions:
        """Check the rows, and exchange images for the shuffled control."""
        return prepare(dataset, self.source, "question", "gpt_answer")

    def doc_to_text(self, doc: Document) -> str:
        return doc["question"]

    def process_results(self, doc: Document, results: Sequence[str]) -> dict[str, Any]:
        return {
            **score_long_answer(results[0], doc["gpt_answer"]),
            **score_language(results[0], self.code),
        }
