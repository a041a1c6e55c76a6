"""What the tasks share: the functions that lmms-eval calls, as methods of a benchmark in a language."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ndino.evaluation.tasks.framework.preparation import Document, document_images

if TYPE_CHECKING:
    from datasets import Dataset
    from PIL.Image import Image

    from ndino.formats.questions.table import Questions

    Rows = Dataset | Questions


@dataclass(frozen=True)
class BenchmarkTask(ABC):
    """A benchmark in the language with this code; the names of its methods are lmms-eval's.

    Attributes:
        SOURCE: the name of the data set on the hub, in which ``{}`` stands for the code in capitals.
    """

    code: str
    SOURCE: ClassVar[str]

    @property
    def source(self) -> str:
        """The name of the data set, which is also its folder under the data folder."""
        return self.SOURCE.format(self.code.upper())

    @abstractmethod
    def doc_to_text(self, doc: Document) -> str:
        """The prompt of a row."""

    @abstractmethod
    def process_results(self, doc: Document, results: Sequence[str]) -> dict[str, Any]:
        """What each metric makes of the answer to a row, ``results[0]``."""

    def question_group(self, doc: Document) -> str | None:
        """What the rows of one question have in common, where several ask it; ``--limit`` takes all of them.

        They follow each other in what `process_docs` returns.
        """
        del doc
        return None

    def log_fields(self, doc: Document, answer: str) -> dict[str, Any]:
        """What the log's row of an answered row says besides its scores; nothing for most benchmarks."""
        del doc, answer
        return {}

    def doc_to_visual(self, doc: Document) -> list[Image]:
        """The images of a row, decoded."""
        return document_images(doc)

    def functions(self) -> dict[str, Callable[..., Any]]:
        """All methods by name, as a task's YAML calls them: ``!function utils.doc_to_text``."""
        found = {name: getattr(self, name) for name in dir(self) if not name.startswith("_")}
        return {name: value for name, value in found.items() if callable(value)}
