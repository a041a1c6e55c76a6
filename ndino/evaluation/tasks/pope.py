"""POPE: is an object in the image, yes or no; its totals are functions of all rows' results."""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ndino.evaluation.tasks.framework.benchmark_task import BenchmarkTask
from ndino.evaluation.tasks.framework.instructions import short_answer
from ndino.evaluation.tasks.framework.preparation import (
    AS_DOCUMENTED,
    Document,
    TaskDataError,
    prepare,
    questions,
    require_columns,
    yes_or_no_fault,
)
from ndino.languages.answers import reader
from ndino.languages.language import language

if TYPE_CHECKING:
    from ndino.evaluation.tasks.framework.benchmark_task import Rows
    from ndino.formats.questions.table import Questions

# The right answer of each row and what was said, each True for yes, False for no; None for neither.
YesNoResults = Sequence[dict[str, bool | None]]


class Pope(BenchmarkTask):
    SOURCE = "swap-uniba/POPE_{}"

    @property
    def words(self) -> dict[str, bool]:
        """The two words that the paper's score takes, and no others."""
        found = language(self.code)
        return {found.yes[0]: True, found.no[0]: False}

    def all_questions(self, dataset: Rows) -> Questions:
        """Check the rows, and exchange images for the shuffled control."""
        rules = {"answer": lambda answer: yes_or_no_fault(answer, "answer", self.code)}
        return prepare(dataset, self.source, "question", rules=rules)

    def adversarial_questions(self, dataset: Rows) -> Questions:
        """Those about objects that often occur together with what is there."""
        return self._part(dataset, "adversarial")

    def popular_questions(self, dataset: Rows) -> Questions:
        """Those about frequent objects."""
        return self._part(dataset, "popular")

    def random_questions(self, dataset: Rows) -> Questions:
        """Those about objects drawn at random."""
        return self._part(dataset, "random")

    def _part(self, dataset: Rows, category: str) -> Questions:
        found = questions(dataset, self.source)
        require_columns(found, self.source, "category")
        rows = [row for row, value in enumerate(found.column("category")) if value == category]
        if not rows:
            raise TaskDataError(
                f"{self.source}: no row has the category {category} (remedy: {AS_DOCUMENTED})"
            )
        return self.all_questions(found.select(rows))

    def doc_to_text(self, doc: Document) -> str:
        return doc["question"].strip() + short_answer(self.code)

    def process_results(self, doc: Document, results: Sequence[str]) -> dict[str, Any]:
        answers = reader(self.code)
        answer, gold = results[0], answers.yes_or_no(doc["answer"])
        strict = answer.lower().strip()
        if strict and strict[-1] in string.punctuation:
            strict = strict[:-1]
        exact, said, original = (
            self.words.get(strict),
            answers.yes_or_no(answer),
            not answers.denies(answer),
        )
        paper, robust, rule = ({"gold": gold, "said": each} for each in (exact, said, original))
        return {
            "pope_accuracy": float(exact == gold),
            "pope_precision": paper,
            "pope_recall": paper,
            "pope_f1_score": paper,
            "pope_yes_ratio": paper,
            "robust": float(said == gold),
            "robust_precision": robust,
            "robust_recall": robust,
            "robust_f1_score": robust,
            "robust_yes_ratio": robust,
            "first_sentence": float(original == gold),
            "first_sentence_precision": rule,
            "first_sentence_recall": rule,
            "first_sentence_f1_score": rule,
            "first_sentence_yes_ratio": rule,
            "unparseable": float(said is None),
        }

    @staticmethod
    def precision(results: YesNoResults) -> float:
        """The share of right answers among those that say yes."""
        return _ratio(_count(results, [True], [True]), _count(results, [True, False], [True]))

    @staticmethod
    def recall(results: YesNoResults) -> float:
        """The share of those that say yes among the questions whose answer is yes."""
        return _ratio(_count(results, [True], [True]), _count(results, [True], [True, False, None]))

    @staticmethod
    def f1_score(results: YesNoResults) -> float:
        """The harmonic mean of `precision` and `recall`."""
        return _f1(Pope.precision(results), Pope.recall(results))

    @staticmethod
    def yes_ratio(results: YesNoResults) -> float:
        """The share of answers that say yes."""
        return _ratio(_count(results, [True, False], [True]), len(results))

    @staticmethod
    def paper_precision(results: YesNoResults) -> float:
        """As released, which is `precision`."""
        return Pope.precision(results)

    @staticmethod
    def paper_recall(results: YesNoResults) -> float:
        """As released: an answer that is neither yes nor no does not count as a miss."""
        return _ratio(_count(results, [True], [True]), _count(results, [True], [True, False]))

    @staticmethod
    def paper_f1_score(results: YesNoResults) -> float:
        """As released, from `paper_precision` and `paper_recall`."""
        return _f1(Pope.paper_precision(results), Pope.paper_recall(results))

    @staticmethod
    def paper_yes_ratio(results: YesNoResults) -> float:
        """As released: the share of yes among the right answers, not among the model's."""
        return _ratio(sum(result["gold"] is True for result in results), len(results))


def _count(results: YesNoResults, gold: Sequence[bool | None], said: Sequence[bool | None]) -> int:
    return sum(result["gold"] in gold and result["said"] in said for result in results)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _f1(precision: float, recall: float) -> float:
    return _ratio(2 * precision * recall, precision + recall)
