"""A task as lmms-eval has loaded it: its questions, images, targets and scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ndino.evaluation.lmms_eval_adapter.metrics import is_mean

if TYPE_CHECKING:
    from PIL.Image import Image

Totals = Mapping[str, Callable[[Sequence[Any]], float]]


@dataclass(frozen=True)
class LoadedTask:
    """One task with its data.

    Attributes:
        task: lmms-eval's ``ConfigurableTask``. Its annotations do not match what it returns, hence Any.
        is_ours: whether it is a task of ``tasks_it/``. Scoring of other tasks may want more than a text.
    """

    name: str
    task: Any
    is_ours: bool

    def __len__(self) -> int:
        """Number of documents."""
        return len(self.task.eval_docs_no_media)

    @property
    def version(self) -> Any:
        """The task's version as its YAML states it."""
        return self.task.VERSION

    @property
    def data_fingerprint(self) -> str:
        """``datasets``' identity of the rows."""
        return self.task.eval_docs._fingerprint

    def document(self, number: int) -> dict[str, Any]:
        """A row without its images, which are not decoded."""
        return self.task.eval_docs_no_media[number]

    def prompt(self, number: int) -> str:
        """The question as a model is asked it."""
        return self.task.doc_to_text(self.document(number))

    def target(self, number: int) -> Any:
        """The right answer, or a list of them."""
        return self.task.doc_to_target(self.document(number))

    def images(self, number: int) -> list[Image]:
        """The images of a row, decoded."""
        return self.task.doc_to_visual(self.task.eval_docs[number])

    def score(self, number: int, answer: str) -> dict[str, Any]:
        """What each metric makes of an answer to this row."""
        return self.task.process_results(self.document(number), [answer])

    @property
    def totals(self) -> Totals:
        """For each metric, the function that turns the rows' values into the task's score."""
        return self.task.aggregation()

    @property
    def resampled_totals(self) -> Totals:
        """The totals that a bootstrap may call: those of other people's tasks may write files."""
        return {metric: total for metric, total in self.totals.items() if self.is_ours or is_mean(total)}

    @property
    def filter_names(self) -> list[str]:
        """Names of lmms-eval's filters, which are part of its result keys; usually ``none`` alone."""
        return [each.name for each in self.task._filters]
