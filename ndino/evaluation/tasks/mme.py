"""MME: two questions about each image; beside accuracy counts how often both are answered rightly."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ndino.common.images import ImageFaultError, image_sha256, read_image
from ndino.evaluation.tasks.framework.benchmark_task import BenchmarkTask
from ndino.evaluation.tasks.framework.instructions import short_answer
from ndino.evaluation.tasks.framework.preparation import (
    AS_DOCUMENTED,
    Document,
    Fault,
    prepare,
    require,
    yes_or_no_fault,
)
from ndino.evaluation.tasks.framework.question_groups import RowOfGroup, mean_of_groups
from ndino.languages.answers import reader

if TYPE_CHECKING:
    from ndino.evaluation.tasks.framework.benchmark_task import Rows
    from ndino.formats.questions.table import Questions

PAIR = 2  # questions about an image


def _pair_fault(found: Questions, pair: str, rows: Sequence[int]) -> Fault:
    """What is wrong with the rows that are called this pair, and the remedy."""
    named = f"question_id and category {pair!r:.80}"
    if len(rows) != PAIR:
        return f"{named} are in {len(rows)} rows, not 2", AS_DOCUMENTED
    if not _show_the_same(found, *rows):
        return f"{named} are in rows with different images", AS_DOCUMENTED
    return None


def _show_the_same(found: Questions, row: int, other: int) -> bool:
    """Whether two rows show the same pixels, perhaps in different files."""
    try:
        if found.image_digest(row) == found.image_digest(other):
            return True
        return len({image_sha256(read_image(found.encoded_image(each))) for each in (row, other)}) == 1
    except ImageFaultError:
        return True  # the check of all images says why it cannot be read


class Mme(BenchmarkTask):
    SOURCE = "ndino/MME_{}"

    def process_docs(self, dataset: Rows) -> Questions:
        """Check the rows and their pairs, and exchange images for the shuffled control.

        Documents have the further columns ``pair``, what tells it from others, and ``place``, 0 or 1. The two
        of a pair follow each other.
        """
        rules = {"answer": lambda answer: yes_or_no_fault(answer, "answer", self.code)}
        found = prepare(dataset, self.source, "question", "question_id", "category", rules=rules)
        pairs = [f"{row.fields['category']} {row.fields['question_id']}" for row in found.rows]
        rows_of: dict[str, list[int]] = defaultdict(list)
        for row, pair in enumerate(pairs):
            rows_of[pair].append(row)
        faults = {pair: _pair_fault(found, pair, rows) for pair, rows in rows_of.items()}
        require(found, lambda row: faults[pairs[row]])
        rows = tuple(
            replace(row, fields={**row.fields, "pair": pair, "place": rows_of[pair].index(number)})
            for number, (row, pair) in enumerate(zip(found.rows, pairs, strict=True))
        )
        together = sorted(range(len(rows)), key=lambda row: rows_of[pairs[row]][0])
        found = replace(found, rows=rows)
        return found if together == sorted(together) else found.select(together)

    def doc_to_text(self, doc: Document) -> str:
        return doc["question"].strip() + short_answer(self.code)

    def process_results(self, doc: Document, results: Sequence[str]) -> dict[str, Any]:
        answers = reader(self.code)
        said, gold = (answers.yes_or_no(text) for text in (results[0], doc["answer"]))
        return {
            "robust": float(said == gold),
            "robust_plus": RowOfGroup(doc["pair"], doc["place"], PAIR, said == gold),
            "yes_ratio": float(said is True),
            "unparseable": float(said is None),
        }

    def question_group(self, doc: Document) -> str:
        return doc["pair"]

    def log_fields(self, doc: Document, answer: str) -> dict[str, Any]:
        return {"question_group": doc["pair"], "group_size": PAIR}

    # The total that the YAML names.
    all_right = staticmethod(mean_of_groups)
