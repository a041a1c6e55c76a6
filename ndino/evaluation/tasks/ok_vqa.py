"""OK-VQA: open questions that need outside knowledge, ten answers each."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from statistics import mean
from typing import TYPE_CHECKING, Any

from ndino.evaluation.lmms_eval_adapter.metrics import vqa_normalised
from ndino.evaluation.tasks.framework.benchmark_task import BenchmarkTask
from ndino.evaluation.tasks.framework.instructions import short_answer
from ndino.evaluation.tasks.framework.preparation import Document, prepare
from ndino.evaluation.tasks.framework.scores import contains_answer, same_answer

if TYPE_CHECKING:
    from ndino.evaluation.tasks.framework.benchmark_task import Rows
    from ndino.formats.questions.table import Questions


class OkVqa(BenchmarkTask):
    SOURCE = "swap-uniba/OK-VQA_{}"

    def process_docs(self, dataset: Rows) -> Questions:
        """Check the rows, and exchange images for the shuffled control."""
        return prepare(dataset, self.source, "question", lists=["answers"])

    def doc_to_text(self, doc: Document) -> str:
        return doc["question"] + short_answer(self.code)

    def process_results(self, doc: Document, results: Sequence[str]) -> dict[str, Any]:
        answer, answers = results[0], doc["answers"]
        said = _english(answer)
        return {
            "exact_match": _vqa_accuracy([said == _english(other) for other in answers]),
            "robust": _tolerant_accuracy([same_answer(answer, other, self.code) for other in answers]),
            "contains": _tolerant_accuracy([contains_answer(answer, other, self.code) for other in answers]),
        }


@lru_cache(maxsize=1024)
def _english(text: str) -> str:
    # The paper's score normalises Italian answers with the English rules of VQA's server.
    return vqa_normalised(text)


def _tolerant_accuracy(agrees: list[bool]) -> float:
    # With one of fewer than four answers left out, no answer could reach the full score.
    return _vqa_accuracy(agrees) if len(agrees) > 3 else float(any(agrees))


def _vqa_accuracy(agrees: list[bool]) -> float:
    """A third of a point per agreeing person, at most 1, averaged over leaving each person out."""
    return mean([min(1.0, (sum(agrees) - own) / 3) for own in agrees]) if agrees else 0.0
