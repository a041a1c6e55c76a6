"""One model's evaluation folder: ``results.json`` and the logs of its tasks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

from ndino.languages.language import code_of_task
from ndino.results.logs import fields
from ndino.results.logs.directions import is_lower_better
from ndino.results.logs.fields import WRITE_AGAIN, ResultsError
from ndino.results.logs.judged import JudgedMean, read_judged
from ndino.results.logs.origins import Origin, origin_of
from ndino.results.logs.question_groups import check_cut_off, cut_off
from ndino.results.logs.samples import (
    LoggedSample,
    check_same_documents,
    images_of,
    questions_of,
    read_samples,
)
from ndino.results.statistics import Clusters

SHUFFLED = ".shuffled"
ROUNDING = 5e-4  # tolerance; scores in results.json may be rounded to three decimals
# The logs of a task: with right images, with shuffled ones, and further controls.
_LOG = re.compile(r"(?P<task>.+?)(?P<control>\.shuffled(-[\w-]+)?|\.blank)?\.jsonl")
_FINISH = "rerun its evaluation to finish it"
# The language in the name of one of our tasks: "eu" of ok-vqa-eu, "pt-BR" of pope-pt-BR.
_CODE = re.compile(r"-([a-z]{2,3}(?:-[A-Z][A-Za-z]*)*)$")


@dataclass(frozen=True)
class TaskLog:
    """One model's answers on one task, sorted by document id.

    Attributes:
        shuffled: the answers to the same documents with shuffled images, one log for each shuffle. Empty: not
            run.
        blank: the answers with a blank image in place of each; None: not run.
        metrics, majority: fractions from results.json; the first metric is the primary one.
        primary_is_chosen: ``--metric`` can make another metric the primary one, as in sample logs.
        stated: what results.json says of the task; empty for sample logs.
        judged: the mean verdicts of judges on these answers.
        origin: whether its texts were written in their language or translated; None where nothing says it.
    """

    path: Path
    version: Any
    samples: tuple[LoggedSample, ...]
    shuffled: tuple[tuple[LoggedSample, ...], ...]
    metrics: Mapping[str, float]
    majority: Mapping[str, float]
    blank: tuple[LoggedSample, ...] | None = None
    primary_is_chosen: bool = False
    stated: Mapping[str, Any] = field(default_factory=dict)
    origin: Origin | None = None
    judged: tuple[JudgedMean, ...] = ()

    @property
    def primary(self) -> str:
        return next(iter(self.metrics))

    @property
    def lower_is_better(self) -> bool:
        """Whether less of the primary metric is better, as far as its name is known."""
        return is_lower_better(self.primary) is True

    @cached_property
    def images(self) -> Clusters | None:
        """Which documents share an image; None in a log that does not name them."""
        return images_of(self.samples)

    @cached_property
    def questions(self) -> Clusters | None:
        """Which documents are the same question about the same image; None as above."""
        return questions_of(self.samples)

    def having(self, metric: str | None = None) -> TaskLog:
        """The same log with only the rows that a metric stands in, by default the primary one."""
        rows = [row for row, sample in enumerate(self.samples) if (metric or self.primary) in sample.metrics]
        if len(rows) == len(self.samples):
            return self
        samples, blank, *shuffled = (
            None if each is None else tuple(each[row] for row in rows)
            for each in (self.samples, self.blank, *self.shuffled)
        )
        return replace(self, samples=samples, blank=blank, shuffled=tuple(shuffled))

    def scores(self, metric: str | None = None) -> list[float]:
        """Per-document scores for a metric that stands in all rows (`having`), by default the primary one."""
        return [sample.metrics[metric or self.primary] for sample in self.samples]

    def shuffled_scores(self) -> list[float] | None:
        """Per-document scores of the shuffled control for the primary metric, the mean over all shuffles."""
        if not self.shuffled:
            return None
        return [
            fmean(each.metrics[self.primary] for each in same) for same in zip(*self.shuffled, strict=True)
        ]

    def blank_scores(self) -> list[float] | None:
        """Per-document scores with blank images for the primary metric."""
        return None if self.blank is None else [each.metrics[self.primary] for each in self.blank]


@dataclass(frozen=True)
class ModelLogs:
    """A model's finished tasks; ``notes`` say in a sentence each what was left out."""

    name: str
    tasks: Mapping[str, TaskLog]
    notes: tuple[str, ...] = ()


def _check_mean(path: Path, metric: str, samples: Sequence[LoggedSample], stated: float | None) -> None:
    scored = _scored(samples, metric)
    for sample in scored or samples:
        score = sample.metrics.get(metric)
        if score is None or not 0 <= score <= 1:
            reason = f"document {sample.doc_id} has {metric} = {score}, not a score from 0 to 1"
            raise ResultsError(path, reason, remedy="rerun the evaluation")
    mean = fmean(sample.metrics[metric] for sample in scored)
    if stated is None or abs(mean - stated) > ROUNDING:
        reason = f"the samples' mean {metric} is {mean:.4f}, results.json says {stated}"
        raise ResultsError(path, reason, remedy="the files are from different runs; rerun the evaluation")


def _scored(samples: Sequence[LoggedSample], metric: str) -> list[LoggedSample]:
    """The rows in which a metric has to stand: a score of all rotations may be in the row of the first.

    A question that lacks rotations has no such score.
    """
    cut = cut_off(samples)
    return [
        sample
        for sample in samples
        if metric in sample.metrics or not (sample.rotation or sample.group in cut)
    ]


class _TaskReader:
    """Reads the logs of one task; ``notes`` collects what is unfinished."""

    def __init__(self, folder: Path, task: str, entry: dict[str, Any]) -> None:
        self.folder, self.task, self.entry = folder, task, entry
        self.results = folder / "results.json"
        self.notes: list[str] = []

    def read(self) -> TaskLog:
        path = self.folder / f"{self.task}.jsonl"
        metrics = fields.number_fields(self.entry, "metrics", self.results)
        if not metrics:
            raise ResultsError(self.results, f"task {self.task} has no metric", remedy=WRITE_AGAIN)
        primary = next(iter(metrics))
        samples = read_samples(path)
        if len(samples) != fields.field(self.entry, "n", int, self.results):
            reason = f"{len(samples)} samples, results.json says {self.entry['n']}"
            # Where there is a log, its task counts as finished.
            raise ResultsError(path, reason, remedy="remove it and rerun the evaluation")
        if (said := check_cut_off(path, samples)) is not None:
            self.notes.append(f"{self.task}: {said}")
        _check_mean(path, primary, samples, metrics[primary])
        controls = {
            found["control"].removeprefix("."): other
            for other in sorted(self.folder.glob("*.jsonl"))
            if (found := _LOG.fullmatch(other.name)) and found["task"] == self.task and found["control"]
        }
        read = {name: self._control(name, other, samples, primary) for name, other in controls.items()}
        majority = (
            fields.number_fields(self.entry, "majority", self.results) if "majority" in self.entry else {}
        )
        return TaskLog(
            path=path,
            version=self.entry.get("version"),
            samples=samples,
            shuffled=tuple(log for name, log in read.items() if log is not None and name != "blank"),
            metrics=metrics,
            majority=majority,
            blank=read.get("blank"),
            stated=self.entry,
            origin=origin_of(self.task, self.entry),
        )

    def _control(
        self, name: str, path: Path, samples: Sequence[LoggedSample], primary: str
    ) -> tuple[LoggedSample, ...] | None:
        first = name == SHUFFLED.removeprefix(".")
        stated = (
            self.entry
            if first
            else fields.field({"controls": {}} | self.entry, "controls", dict, self.results)
        )
        if not stated.get(name):
            self.notes.append(f"{self.task}: the control {path.name} is unfinished and left out; {_FINISH}.")
            return None
        found = read_samples(path, shuffled=True)
        check_same_documents(path, found, samples, f"{self.task}.jsonl", images=False)
        _check_same_rows(path, primary, found, samples, f"{self.task}.jsonl")
        _check_mean(path, primary, found, fields.number_fields(stated, name, self.results).get(primary))
        return found


def read_model(folder: Path, *, name: str | None = None) -> ModelLogs:
    """Read one model's evaluation folder: results.json and finished tasks' logs. Raises ResultsError."""
    if not folder.is_dir():
        remedy = f"evaluate the model first, with --out {folder.parent}"
        raise ResultsError(folder, "evaluation folder not found", remedy=remedy)
    results = folder / "results.json"
    entries = fields.field(fields.read_json(results), "tasks", dict, results)
    name = name or folder.name
    logs = [found["task"] for path in folder.glob("*.jsonl") if (found := _LOG.fullmatch(path.name))]
    notes = [
        f"{name}: {task} is unfinished and left out; {_FINISH}."
        for task in sorted(set(logs) - entries.keys())
    ]
    tasks = {}
    for task in sorted(entries):
        reader = _TaskReader(folder, task, fields.field(entries, task, dict, results))
        tasks[task] = reader.read()
        notes += [f"{name}: {note}" for note in reader.notes]
    judged, left_out = read_judged(folder, {task: log.samples for task, log in tasks.items()})
    tasks |= {task: replace(tasks[task], judged=tuple(means)) for task, means in judged.items()}
    notes += [f"{name}: {note}" for note in left_out]
    _check_languages(results, entries)
    _check_unmixed(results, entries)
    return ModelLogs(name, tasks, tuple(notes))


def _check_languages(results: Path, entries: Mapping[str, dict[str, Any]]) -> None:
    """Refuse our tasks in a language whose file is gone: their tables are found and read by it."""
    for task, entry in sorted(entries.items()):
        depends = entry.get("depends", {}).get("task", {})
        code = _CODE.search(task)
        if depends.get("language") and code and code_of_task(task) is None:
            raise ResultsError(
                results,
                f"task {task} is in the language {code[1]!r}, and ndino/languages/{code[1]}.yaml is missing",
                remedy="put back the file with which it was evaluated",
            )


def _check_unmixed(results: Path, entries: Mapping[str, dict[str, Any]]) -> None:
    """Refuse results of one model that were made with different weights, software or devices."""
    first: tuple[str, Any] | None = None
    for task, entry in sorted(entries.items()):
        stated = entry.get("depends", {}).get("answers")
        if first is None:
            first = task, stated
        elif stated != first[1]:
            mine, theirs = stated or {}, first[1] or {}
            differ = [name for name in {**mine, **theirs} if mine.get(name) != theirs.get(name)]
            reason = f"{task} and {first[0]} were not made alike: they differ in {', '.join(differ)}"
            raise ResultsError(results, reason, remedy="rerun the evaluation of all its tasks")


def check_comparable(models: Sequence[ModelLogs]) -> None:
    """Raise ResultsError unless models with a common task had the same version, documents and images."""
    first: dict[str, tuple[str, TaskLog]] = {}
    for model in models:
        for task, log in model.tasks.items():
            name, reference = first.setdefault(task, (model.name, log))
            _check_same(log, "version", log.version, reference.version, name)
            other = _other_metric([each.tasks.get(task) for each in models])
            _check_same(log, "primary", log.primary, reference.primary, name, other)
            check_same_documents(log.path, log.samples, reference.samples, name, images=True)
            _check_same_rows(log.path, log.primary, log.samples, reference.samples, name)
            # After the documents: others have another majority. A later version may have further metrics.
            common = log.majority.keys() & reference.majority.keys()
            mine, theirs = ({m: each.majority[m] for m in sorted(common)} for each in (log, reference))
            _check_same(log, "majority", mine, theirs, name)
            if reference.images is None and log.images is not None:
                first[task] = (model.name, log)  # so that all later logs are held against its images


def _check_same_rows(
    path: Path, metric: str, samples: Sequence[LoggedSample], others: Sequence[LoggedSample], name: str
) -> None:
    """Raise ResultsError unless a metric stands in the same rows of both."""
    mine, theirs = ({each.doc_id for each in side if metric in each.metrics} for side in (samples, others))
    if differ := sorted(mine ^ theirs):
        reason = f"document {differ[0]} has {metric} only in one of this log and that of {name}"
        raise ResultsError(path, reason, remedy="rerun both evaluations")


def _check_same(
    log: TaskLog, what: str, mine: Any, theirs: Any, name: str, remedy: str | None = None
) -> None:
    if mine != theirs:
        reason = f"{what} of task {log.path.stem} is {mine} here and {theirs} for {name}"
        remedy = remedy or "evaluate both with the same version of the task"
        raise ResultsError(log.path, reason, remedy=remedy)


def _other_metric(found: Sequence[TaskLog | None]) -> str | None:
    """What to do if a task's logs have different primary metrics; None where they cannot be chosen."""
    logs = [log for log in found if log is not None]
    if not all(log.primary_is_chosen for log in logs):
        return None
    common = [metric for metric in logs[0].metrics if all(metric in log.metrics for log in logs)]
    if not common:
        return "give logs that have a metric in common"
    return f"choose with --metric one that all have: {'; '.join(common)}"


def unnamed_images(models: Sequence[ModelLogs]) -> list[str]:
    """Say of which logs it cannot be known whether the models saw the same images, and what follows."""
    unnamed: dict[tuple[tuple[str, ...], bool], list[str]] = {}
    for task in sorted({task for model in models for task in model.tasks}):
        logs = {model.name: model.tasks[task] for model in models if task in model.tasks}
        names = tuple(name for name, log in logs.items() if log.images is None)
        if names:
            unnamed.setdefault((names, len(names) < len(logs)), []).append(task)
    follows = {
        True: "images are taken from the other logs",
        False: "every question counts as one about an image of its own",
    }
    return [
        f"The logs of {', '.join(names)} do not name their images ({', '.join(tasks)}). Whether all models "
        f"saw the same ones is not checked, and {follows[known]}; rerun the evaluation to have "
        "them named, or name a field of a sample log with --cluster."
        for (names, known), tasks in unnamed.items()
    ]
