"""GQA: open questions on photographs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ndino.common.parsing import parse_json
from ndino.evaluation.tasks.framework import gqa_images
from ndino.evaluation.tasks.framework.benchmark_task import BenchmarkTask
from ndino.evaluation.tasks.framework.instructions import short_answer
from ndino.evaluation.tasks.framework.preparation import (
    Document,
    Fault,
    question_check,
    questions,
    require,
    require_columns,
    value_check,
    without_places,
)
from ndino.evaluation.tasks.framework.scores import score_short_answer
from ndino.formats.questions.faults import text_fault, texts_fault

if TYPE_CHECKING:
    from PIL.Image import Image

    from ndino.evaluation.tasks.framework.benchmark_task import Rows
    from ndino.formats.questions.table import Questions


class Gqa(BenchmarkTask):
    SOURCE = "crux82/gqa-{}"

    @property
    def source(self) -> str:
        return self.SOURCE.format(self.code)

    def process_docs(self, dataset: Rows) -> Questions:
        """Check the questions against the images, which are a dataset of their own (lmms-lab/GQA)."""
        found = questions(dataset, self.source)
        answer = "answer" if "answer" in found.column_names else "label"
        require_columns(found, self.source, "img_id", "sent", answer)
        known = gqa_images.gqa_image_ids()

        def image_fault(name: Any) -> Fault:
            if (fault := text_fault(name, "img_id")) is not None or name in known:
                return fault
            return f"image {name} is not in {gqa_images.SOURCE}", "get the image, or remove the row"

        require(
            found,
            question_check(found, "sent"),
            lambda row: _answer_fault(found.rows[row].fields),
            value_check(found, "img_id", image_fault),
        )
        return without_places(found, "sent")

    def doc_to_visual(self, doc: Document) -> list[Image]:
        return [gqa_images.gqa_image(doc["img_id"])]

    def doc_to_text(self, doc: Document) -> str:
        return doc["sent"] + short_answer(self.code)

    def doc_to_target(self, doc: Document) -> str | list[str]:
        """The answer, or a list of them."""
        answers = _answers(doc)
        return answers[0] if len(answers) == 1 else answers

    def process_results(self, doc: Document, results: Sequence[str]) -> dict[str, Any]:
        return score_short_answer(results[0], _answers(doc), self.code)


def _answers(doc: Document) -> list[str]:
    # Three forms exist. The published JSON has {"label": {"rosso": 1.0}}; `datasets` turns that column into a
    # struct of every answer in the file, with None for those of other questions. Parquet files hold the label
    # as JSON text. The released task expected "answer".
    if doc.get("answer"):
        return [doc["answer"]]
    label = parse_json(doc["label"]) if isinstance(doc["label"], str) else doc["label"]
    return [answer for answer, weight in label.items() if weight]


def _answer_fault(doc: Document) -> Fault:
    """What is wrong with a row's answer, and the remedy."""
    if doc.get("answer") or "label" not in doc:
        return text_fault(doc.get("answer"), "answer")
    try:
        answers = _answers(doc)
    except (ValueError, AttributeError):
        answers = []
    if texts_fault(answers, "label") is None:
        return None
    remedy = 'write {"rosso": 1.0}, or call a column of plain answers answer'
    return f"no answer in label {doc['label']!r:.80}", remedy
