"""The tasks of a run: finds them, checks their data, loads each once per process, and asks a model."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ndino.common.errors import UserError
from ndino.common.files import atomic_file, digest_of, key_of, write_json
from ndino.common.images import READING_VERSION
from ndino.common.parsing import read_json
from ndino.evaluation.controls import BLANK, RIGHT, shuffle_number
from ndino.evaluation.errors import SetupError
from ndino.evaluation.image_check import sizes_of_images
from ndino.evaluation.lmms_eval_adapter.constant_answers import best_constant, score_constant
from ndino.evaluation.lmms_eval_adapter.evaluator import evaluate, group_totals
from ndino.evaluation.lmms_eval_adapter.loaded_task import LoadedTask
from ndino.evaluation.lmms_eval_adapter.sample_rows import difference, sample_rows, shown_images
from ndino.evaluation.lmms_eval_adapter.surroundings import task_environment
from ndino.evaluation.lmms_eval_adapter.task_index import TaskIndex
from ndino.evaluation.lmms_eval_adapter.wrong_images import blank_task_images, exchange_task_images
from ndino.evaluation.provenance import data_revision
from ndino.evaluation.shuffle import seed_of
from ndino.evaluation.standard_errors import standard_errors
from ndino.evaluation.tasks.framework.instructions import without_instruction
from ndino.evaluation.tasks.framework.question_groups import left_out
from ndino.evaluation.tasks.framework.readiness import (
    NeededDataset,
    left_out_note,
    missing_datasets,
    other_language_note,
    require_in_folder,
    require_on_hub,
)
from ndino.formats.hub_folders import content_key
from ndino.formats.prompts import IMAGE_TOKEN
from ndino.formats.questions.table import Questions, read_questions
from ndino.languages.language import language

if TYPE_CHECKING:
    from lmms_eval.api.model import lmms
    from PIL.Image import Image

# The report's example cards show this many documents of a task, at most this many pixels a side.
EXAMPLE_IMAGES, EXAMPLE_PIXELS = 8, 672
PREPARE = "prepare the data as the task's README says"

Metrics = dict[str, float]


@dataclass(frozen=True)
class TaskOutcome:
    """What a model did on one task: a row for each question, the metrics and their standard errors.

    ``left_out`` says which questions the scores are without; None: they are of all.
    """

    rows: list[dict[str, Any]]
    metrics: Metrics
    errors: Metrics = field(default_factory=dict)
    left_out: str | None = None


class Benchmarks:
    """The tasks that ``names`` (tasks, groups and tags) consist of.

    Args:
        names: as lmms-eval knows them.
        data: folder that holds the tasks' datasets under their hub names. It must be the working directory
            whenever tasks are loaded and asked. None for the hub.
        cache: where ``datasets`` may cache what it has read of ``data``.
        limit: number of questions of each task, from the first; None for all. A question that several rows
            ask counts once and is asked in all of them.
        rows: of tasks that an earlier run asked, the number of their rows, in place of ``limit``.
        task_type: lmms-eval's name for the model's interface, ``simple`` or ``chat``.

    Of a group, tasks in another language than Italian and those that their YAML calls ``optional`` are left
    out with a note where their datasets are not in ``data``, unless all are: not every benchmark is published
    in every language.

    Raises:
        SetupError: a task is unknown, or a dataset is missing in ``data``, or on the hub without ``data``.
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        data: Path | None = None,
        cache: Path | None = None,
        limit: int | None = None,
        rows: Mapping[str, int] | None = None,
        task_type: str = "simple",
    ) -> None:
        self.data, self.cache, self.limit, self.task_type = data, cache, limit, task_type
        self.rows = rows or {}
        self.index = TaskIndex(names)
        self._loaded: dict[tuple[str, str], LoadedTask] = {}
        self._read: dict[tuple[str, str, str | None], Questions] = {}
        self._sizes: dict[str, list[tuple[int, int]]] = {}
        # What was left out of the data, and why: a line each.
        self.notes: tuple[str, ...] = ()
        self._majority: dict[str, Metrics] = {}
        self._prompts: dict[str, str] = {}
        self._depends: dict[str, dict[str, Any]] = {}
        self.groups: dict[str, list[str]] = {}
        self.names = list(dict.fromkeys(task for name in names for task in self._expand(name)))
        self._check_data({*names})

    def _expand(self, name: str) -> list[str]:
        parts = self.index.parts(name)
        if parts is None:
            return [name]
        self.groups[name] = [task for part in parts for task in self._expand(part)]
        return self.groups[name]

    @cached_property
    def _datasets(self) -> dict[str, list[str]]:
        """The datasets that each task needs, the one with its questions first."""
        return {
            name: [self.index.config(name)["dataset_path"], *self.index.metadata(name).get("needs", [])]
            for name in self.names
        }

    @cached_property
    def _digests(self) -> dict[str, str]:
        folders = {folder for folders in self._datasets.values() for folder in folders}
        return {folder: content_key((self.data or Path()) / folder) for folder in folders}

    def _check_data(self, named: Set[str]) -> None:
        missing = missing_datasets(self._needed(), self.data or Path())
        if self.data is None:
            require_on_hub(missing)
            return
        lacking = {one.task for one in missing}
        with_data = {self.index.code(name) for name in self.names if name not in lacking}
        optional = {one.task for one in missing if one.optional and one.code in with_data} - named
        require_in_folder([one for one in missing if one.task not in optional], self.data)
        if optional:
            self.names = [name for name in self.names if name not in optional]
            for group, names in self.groups.items():
                self.groups[group] = [name for name in names if name not in optional]
            self.notes += (left_out_note(missing, self.data),)

    def _needed(self) -> Iterator[NeededDataset]:
        for name in self.names:
            code, config = self.index.code(name), self.index.config(name)
            for place, dataset in enumerate(self._datasets[name]):
                split = None if place else config.get("test_split")
                yield NeededDataset.of(dataset, name, code, self.index.metadata(name), split)

    def note_other_languages(self, names: Iterable[str]) -> None:
        """Note which of these tasks have questions that seem to be in another language."""
        for name in names:
            if (code := (task := self.task(name)).code) is None:
                continue
            asked = (without_instruction(task.prompt(number), code) for number in range(self.size(name)))
            note = other_language_note(name, self._datasets[name][0], asked, code)
            self.notes += () if note is None else (note,)

    def load(self, control: str = RIGHT) -> None:
        """Load all tasks, with the right images or with those of a control.

        Raises:
            SetupError: a dataset cannot be read or does not fit its task.
        """
        for name in self.names:
            self.task(name, control)
            self.image_sizes(name)

    def image_sizes(self, name: str) -> list[tuple[int, int]]:
        """(height, width) in pixels of the image of each question that will be asked.

        Empty for other people's tasks. The first call decodes every image once, so that damaged ones are
        named before a model is loaded. With a cache, later runs on the same data do not.

        Raises:
            SetupError: images cannot be read.
        """
        if name not in self._sizes:
            task, kept = self.task(name), None
            if self.cache is not None and self.data is not None:
                key = key_of(self.depends(name)["data"], name, task.version, self.size(name), READING_VERSION)
                kept = self.cache / "images" / f"{key}.json"
            if kept is not None and kept.is_file():
                self._sizes[name] = read_json(kept)
            else:
                with self._environment(name):
                    self._sizes[name] = sizes_of_images(task, self.size(name), local=self.data is not None)
                if kept is not None:
                    write_json(kept, self._sizes[name])
        return self._sizes[name]

    def task(self, name: str, control: str = RIGHT) -> LoadedTask:
        """A task, or a control of it, loaded on first use; raises like `load`."""
        if (name, control) not in self._loaded:
            with self._environment(name, control):
                loaded = self.index.load(
                    name,
                    task_type=self.task_type,
                    rows=self._rows(name),
                    remedy=PREPARE
                    if self.data
                    else "see that the hub is in reach, or give the data with --data",
                )
            if not control and loaded.is_ours:
                self._prompts[name] = _checked_prompts(loaded)
                self.notes += tuple(note for note in loaded.notes if note not in self.notes)
            if not loaded.is_ours and (number := shuffle_number(control)):
                exchange_task_images(loaded, self.size(name), seed_of(number))
            if control == BLANK:
                blank_task_images(loaded)
            self._loaded[name, control] = loaded
        return self._loaded[name, control]

    def _rows(self, name: str) -> Questions | None:
        """The local rows of one of our tasks; lmms-eval reads those of other people's, and the hub's."""
        if self.data is None or not self.index.is_ours(name):
            return None
        config = self.index.config(name)
        place = (self._datasets[name][0], config["test_split"], config.get("dataset_name"))
        if place not in self._read:
            try:
                self._read[place] = read_questions(self.data / place[0], place[1], config=place[2])
            except UserError as error:
                raise SetupError(f"task {name}: {error}") from error
            self.notes += self._read[place].notes
        return self._read[place]

    def _environment(self, name: str, control: str = RIGHT) -> contextlib.AbstractContextManager[None]:
        cache = None
        if self.data is not None and self.cache is not None:
            cache = self.cache / key_of(self._folders_key(name))
        return task_environment(shuffled=shuffle_number(control), cache=cache)

    def version(self, name: str) -> Any:
        """The task's version as its YAML states it."""
        return self.task(name).version

    def primary(self, name: str) -> str:
        """The task's metric that its YAML names first."""
        return next(iter(self.task(name).totals))

    def origin(self, name: str) -> str | None:
        """Whether the texts of one of our tasks are ``native`` to its language or ``translated``."""
        return self.index.metadata(name).get("origin") if self.index.is_ours(name) else None

    def size(self, name: str) -> int:
        """Number of rows that will be asked."""
        task = self.task(name)
        if name in self.rows:
            return min(self.rows[name], len(task))
        return len(task) if self.limit is None else task.rows_of(self.limit)

    def depends(self, name: str) -> dict[str, Any]:
        """What a task's result depends on, besides what the answers depend on; see `provenance.py`."""
        if name in self._depends:
            return self._depends[name]
        task = self.task(name)
        self._depends[name] = {
            "version": task.version,
            "questions": self.size(name),
            "data": self.data_key(name),
            "prompts": self._prompts.get(name),
            "generation": task.settings,
            "definition": self.index.definition(name),
            # How images are opened. Other people's tasks open theirs.
            "images": READING_VERSION if task.is_ours else None,
            "language": None if task.code is None else language(task.code).scores_identity,
        }
        return self._depends[name]

    def difference(self, name: str, rows: Sequence[Mapping[str, Any]]) -> str:
        """What of a task's data differs from an earlier log ``rows``; empty for other people's tasks."""
        with self._environment(name):
            return difference(task, self.size(name), rows) if (task := self.task(name)).is_ours else ""

    def revisions(self, name: str) -> list[str | None]:
        """The commits of a task's data sets on the hub, the one with its questions first; None for others."""
        if self.data is None:
            return [self.task(name).revision]
        return [data_revision(self.data / folder) for folder in self._datasets[name]]

    def _folders_key(self, name: str) -> str:
        return ",".join(self._digests[folder] for folder in self._datasets[name])

    def data_key(self, name: str) -> str:
        """Identity of a task's data: of its local files, or of what was downloaded."""
        task = self.task(name)
        if self.data is None:
            return task.data_fingerprint
        folders = [Path(os.path.abspath(self.data / folder)) for folder in self._datasets[name]]
        paths = {Path(os.path.abspath(self.data / path)) for path in task.image_files}
        elsewhere = sorted(path for path in paths if not any(_is_counted(path, folder) for folder in folders))
        return key_of(self._folders_key(name), [digest_of(path) for path in elsewhere])

    def ask(
        self, model: lmms, name: str, control: str = RIGHT, *, right: Sequence[Mapping[str, Any]] = ()
    ) -> TaskOutcome | None:
        """Ask a model all questions of a task, with the right images or with those of a control.

        Args:
            right: of a control, the rows with right images: the documents' hashes cover these.

        Returns:
            Of several processes only the first gets an outcome, the others None.
        """
        task = self.task(name, control)
        with self._environment(name, control):
            vars(model)["shown_images"] = {}
            size = self.size(name)
            found = evaluate(model, task, self.index, limit=None if size == len(task) else size)
            if found is None:
                return None
            seen = vars(model)["shown_images"].get(name, {})
            shown = {s.doc_id: shown_images(task, s.doc_id, seen) for s in found.samples}
        hashes = {row["doc_id"]: row["doc_hash"] for row in right}
        samples = sorted(found.samples, key=lambda sample: sample.doc_id)
        parts = self.index.metadata(name).get("parts", [])
        rows = sample_rows(task, samples, shown, hashes, shuffled=bool(control), parts=parts)
        errors = standard_errors(
            [sample.values for sample in found.samples],
            task.resampled_totals,
            [str(shown[sample.doc_id] or sample.doc_id) for sample in found.samples],
        )
        return TaskOutcome(rows, found.metrics, errors, left_out([sample.values for sample in samples]))

    def majority(self, name: str) -> Metrics:
        """What the best constant answer scores; empty for tasks that are not ours."""
        if name not in self._majority:
            task = self.task(name)
            asked = range(self.size(name)) if task.is_ours else range(0)
            targets = [task.target(number) for number in asked]
            self._majority[name] = best_constant(targets, lambda answer: score_constant(task, asked, answer))
        return self._majority[name]

    def save_images(self, name: str, folder: Path) -> None:
        """Write the right images of the first questions as ``folder/DOC_ID.png``, for example cards."""
        task = self.task(name)
        for doc_id in range(min(EXAMPLE_IMAGES, self.size(name))):
            with self._environment(name):
                shown = task.images(doc_id)
            for image in shown[:1]:
                save_image(image, folder / f"{doc_id}.png")

    def totals(self, group: str, metrics: Mapping[str, Metrics]) -> Metrics:
        """A group's totals as lmms-eval takes them from its tasks' metrics; empty where it defines none."""
        tasks = {name: self.task(name) for name in self.groups[group]}
        return group_totals(self.index, group, tasks, {name: self.size(name) for name in tasks}, metrics)


def _is_counted(path: Path, folder: Path) -> bool:
    """Whether a file is part of a folder's `content_key`."""
    if not path.is_relative_to(folder):
        return False
    return not any(part.startswith(".") for part in path.relative_to(folder).parts)


def _checked_prompts(task: LoadedTask) -> str:
    """A digest of all prompts of a task of ours; SetupError where an option or an answer has an <image>."""
    digest = hashlib.sha256()
    for number in range(len(task)):
        prompt = task.prompt(number)
        # A question's own is gone by now (`preparation.without_places`).
        if IMAGE_TOKEN in prompt:
            raise SetupError(
                f"task {task.name}: {task.where(number)}: an option holds {IMAGE_TOKEN} (remedy: remove it)"
            )
        if (fault := task.answer_fault(number, [IMAGE_TOKEN], "answer")) is not None:
            raise SetupError(f"task {task.name}: {task.where(number)}: {fault} (remedy: take it out)")
        digest.update(json.dumps(prompt).encode())
    return digest.hexdigest()[:32]


def save_image(image: Image, path: Path) -> None:
    """Write an image as a PNG of at most 672 pixels a side, for example cards."""
    copy = image.copy()
    copy.thumbnail((EXAMPLE_PIXELS, EXAMPLE_PIXELS))
    with atomic_file(path) as temporary:
        copy.save(temporary, "PNG")
