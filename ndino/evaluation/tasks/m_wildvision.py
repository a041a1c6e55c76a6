"""m-WildVision: open requests of users, whose answers a judge has to score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ndino.evaluation.tasks.framework.benchmark_task import BenchmarkTask
from ndino.evaluation.tasks.framework.preparation import Document, prepare, questions
from ndino.evaluation.tasks.framework.scores import count_words, says_nothing, score_language
from ndino.languages.text import clean

if TYPE_CHECKING:
    from ndino.evaluation.tasks.framework.benchmark_task import Rows
    from ndino.formats.questions.table import Questions

# What the request is called here, in WildVision-Bench, and in our own data; the first that is there is read.
REQUESTS = ("prompt", "instruction", "question")
# An answer that a judge compares others with; the published rows have none.
REFERENCE = "reference"


class MWildVision(BenchmarkTask):
    # One data set, whose configurations are the languages.
    SOURCE = "CohereLabs/m-WildVision"

    def process_docs(self, dataset: Rows) -> Questions:
        """Check the rows, and exchange images for the shuffled control."""
        found = questions(dataset, self.source)
        request = next((name for name in REQUESTS if name in found.column_names), REQUESTS[0])
        references = [REFERENCE] if REFERENCE in found.column_names else []
        return prepare(found, self.source, request, *references)

    def doc_to_text(self, doc: Document) -> str:
        return next(doc[name] for name in REQUESTS if name in doc)

    def doc_to_target(self, doc: Document) -> str | list[str]:
        """The reference; an empty list where there is none."""
        return doc.get(REFERENCE) or []

    def process_results(self, doc: Document, results: Sequence[str]) -> dict[str, Any]:
        answer = results[0]
        return {
            **score_language(answer, self.code),
            "unparseable": float(says_nothing(clean(answer))),
            "words": count_words(answer),
        }
