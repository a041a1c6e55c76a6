"""XM3600 (Crossmodal-3600): captions, compared with those that people wrote in the language."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ndino.evaluation.tasks.framework.benchmark_task import BenchmarkTask
from ndino.evaluation.tasks.framework.instructions import caption_request
from ndino.evaluation.tasks.framework.preparation import Document, prepare, questions
from ndino.evaluation.tasks.framework.scores import count_words, score_language, score_long_answer

if TYPE_CHECKING:
    from ndino.evaluation.tasks.framework.benchmark_task import Rows
    from ndino.formats.questions.table import Questions


class Xm3600(BenchmarkTask):
    # One data set, whose splits are the languages.
    SOURCE = "floschne/xm3600"

    def process_docs(self, dataset: Rows) -> Questions:
        """Check the rows, ask all of them the same, and exchange images for the shuffled control."""
        found = questions(dataset, self.source)
        asked = found.with_texts("question", [caption_request(self.code)] * len(found))
        return prepare(asked, self.source, "question", lists=["captions"])

    def doc_to_text(self, doc: Document) -> str:
        return doc["question"]

    def process_results(self, doc: Document, results: Sequence[str]) -> dict[str, Any]:
        answer = results[0]
        return {
            **score_long_answer(answer, *doc["captions"]),
            **score_language(answer, self.code),
            "words": count_words(answer),
        }
