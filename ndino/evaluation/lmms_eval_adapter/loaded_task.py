"""A task as lmms-eval has loaded it: its questions, images, targets and scores."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ndino.common.images import image_digest
from ndino.evaluation.lmms_eval_adapter.metrics import is_mean
from ndino.evaluation.tasks.framework.benchmark_task import BenchmarkTask
from ndino.formats.questions.faults import marker_fault
from ndino.formats.questions.rows import IMAGE
from ndino.formats.questions.table import Questions

if TYPE_CHECKING:
    from PIL.Image import Image

Totals = Mapping[str, Callable[[Sequence[Any]], float]]


@dataclass(frozen=True)
class LoadedTask:
    """One task with its data.

    Attributes:
        task: lmms-eval's ``ConfigurableTask``. Its annotations do not match what it returns, hence Any.
        code: of the language of one of our tasks, such as ``it``; None for other people's.
    """

    name: str
    task: Any
    code: str | None

    def __len__(self) -> int:
        """Number of documents."""
        return len(self.task.eval_docs_no_media)

    @property
    def is_ours(self) -> bool:
        """Whether it is one of our tasks. Scoring of other tasks may want more than a text."""
        return self.code is not None

    @property
    def version(self) -> Any:
        """The task's version as its YAML states it."""
        return self.task.VERSION

    @property
    def data_fingerprint(self) -> str:
        """``datasets``' identity of the rows."""
        return self.task.eval_docs._fingerprint

    @property
    def settings(self) -> dict[str, Any]:
        """How answers are generated, lmms-eval's ``generation_kwargs``."""
        return dict(self.task.config.generation_kwargs or {})

    @property
    def image_files(self) -> set[Path]:
        """The files that a column of images names; images may also be in the rows, or come from elsewhere."""
        found: set[Path] = set()
        documents = self.task.eval_docs
        if isinstance(documents, Questions):
            return documents.image_files
        for column, feature in getattr(documents, "features", {}).items():
            if type(feature).__name__ != "Image":
                continue
            for part in documents.data.column(column).chunks:
                paths, contents = part.field("path").to_pylist(), part.field("bytes").is_null()
                shown = zip(paths, contents.to_pylist(), strict=True)
                found.update(Path(path) for path, empty in shown if empty and path)
        return found

    @property
    def revision(self) -> str | None:
        """The commit of the hub's data set that was downloaded; None for local data."""
        info = getattr(self.task.eval_docs, "info", None)
        sources = " ".join(getattr(info, "download_checksums", None) or {})
        found = set(re.findall(r"@([0-9a-f]{40})/", sources))
        return found.pop() if len(found) == 1 else None

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out of the rows, and why: a line each."""
        return found.notes if isinstance(found := self.task.eval_docs, Questions) else ()

    def log_fields(self, document: Mapping[str, Any], answer: str) -> dict[str, Any]:
        """What the log's row of an answered document of ours says besides its scores."""
        return {} if (benchmark := self._benchmark) is None else benchmark.log_fields(document, answer)

    @property
    def _benchmark(self) -> BenchmarkTask | None:
        # A YAML's functions are methods of its benchmark (`BenchmarkTask.functions`).
        found = getattr(self.task.config.process_results, "__self__", None)
        return found if isinstance(found, BenchmarkTask) else None

    def rows_of(self, questions: int) -> int:
        """How many rows ask the first ``questions`` questions, each of them in all of its rows."""
        whole, benchmark = len(self), self._benchmark
        if benchmark is None:
            return min(questions, whole)
        seen: set[int | str] = set()
        for number in range(whole):
            group = benchmark.question_group(self.document(number))
            seen.add(number if group is None else group)
            if len(seen) > questions:
                return number
        return whole

    def document(self, number: int) -> dict[str, Any]:
        """A row without its images, which are not decoded."""
        return self.task.eval_docs_no_media[number]

    def prompt(self, number: int) -> str:
        """The question as a model is asked it."""
        return self.task.doc_to_text(self.document(number))

    def target(self, number: int) -> Any:
        """The right answer, or a list of them."""
        return self.task.doc_to_target(self.document(number))

    def answer_fault(self, number: int, markers: Collection[str], field: str) -> str | None:
        """Which of the control tokens ``markers`` a right answer holds; ``field`` names it in the message."""
        found = self.target(number)
        texts = [text for text in (found if isinstance(found, list) else [found]) if isinstance(text, str)]
        return next(filter(None, (marker_fault(text, markers, field) for text in texts)), None)

    def images(self, number: int) -> list[Image]:
        """The images of a row, decoded."""
        return self.task.doc_to_visual(self.task.eval_docs[number])

    def where(self, number: int) -> str:
        """``FILE row N`` of a row of ours."""
        return self.task.eval_docs.where(number)

    def image_key(self, number: int) -> Any:
        """What tells the image that a row of ours shows from others, without decoding it."""
        found: Questions = self.task.eval_docs
        if IMAGE not in found.column_names:
            # GQA's images are a data set of their own.
            return found.rows[number].fields.get("img_id", number)
        place = found.image_place(number)
        return image_digest(place) if isinstance(place, bytes) else place

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
