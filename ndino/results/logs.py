"""Read and check the files that training, evaluation and perplexity wrote to a run folder.

A broken line, a document answered twice, or two models that did not answer the same documents raise
`ResultsError` with file, row and reason. Scores are compared only after these checks.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from ndino.common.errors import UserError

SHUFFLED = ".shuffled"
ROUNDING = 5e-4  # tolerance; scores in results.json may be rounded to three decimals
_WRITE_AGAIN = "rerun the step that writes it"


class ResultsError(UserError):
    """Input that cannot be used; its message reads "FILE row N: reason (remedy: what to do)"."""

    def __init__(self, path: Path, reason: str, *, row: int | None = None, remedy: str) -> None:
        where = f"{path} row {row}" if row is not None else str(path)
        super().__init__(f"{where}: {reason} (remedy: {remedy})")


@dataclass(frozen=True)
class LoggedSample:
    """One answered document. ``metrics`` holds the document's score for each metric name."""

    doc_id: int
    doc_hash: str
    question: str
    target: str | tuple[str, ...]
    answer: str
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class TaskLog:
    """One model's answers on one task, sorted by document id.

    ``shuffled`` has the answers to the same documents with shuffled images (None: not run). ``metrics`` and
    ``majority`` are fractions from results.json; the first metric is the primary one.
    """

    path: Path
    version: Any
    samples: tuple[LoggedSample, ...]
    shuffled: tuple[LoggedSample, ...] | None
    metrics: Mapping[str, float]
    majority: Mapping[str, float]

    @property
    def primary(self) -> str:
        return next(iter(self.metrics))

    def scores(self, metric: str | None = None) -> list[float]:
        """Per-document scores for a metric, by default the primary one."""
        return [sample.metrics[metric or self.primary] for sample in self.samples]

    def shuffled_scores(self) -> list[float] | None:
        """Per-document scores of the shuffled control for the primary metric."""
        if self.shuffled is None:
            return None
        return [sample.metrics[self.primary] for sample in self.shuffled]


@dataclass(frozen=True)
class ModelLogs:
    name: str
    tasks: Mapping[str, TaskLog]


@dataclass(frozen=True)
class PerplexityLog:
    """Perplexity of one model on one set of answers.

    ``paper`` is the paper's number, None when every answer is above the paper's outlier threshold. ``corpus``
    is the perplexity over all answer tokens, with its 95 % ``interval``; ``shuffled`` is the same with other
    samples' images. ``skipped`` counts answers that could not be scored.
    """

    path: Path
    paper: float | None
    corpus: float
    outliers: int
    n: int
    skipped: int
    interval: tuple[float, float] | None
    shuffled: float | None
    ids: frozenset[str]


@dataclass(frozen=True)
class TrainingRun:
    """The training of one chain of stages; ``loss_curve`` holds (optimizer step, loss)."""

    chain: str
    manifest: Mapping[str, Any]
    loss_curve: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class RunLogs:
    """Everything read from a run folder. ``perplexity`` is keyed by model, then by set."""

    folder: Path
    models: Mapping[str, ModelLogs]
    perplexity: Mapping[str, Mapping[str, PerplexityLog]]
    training: Sequence[TrainingRun]
    seconds: Mapping[str, float]
    peak_rss_mb: float | None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ResultsError(path, "file is missing", remedy=_WRITE_AGAIN) from None
    except (OSError, ValueError) as error:
        raise ResultsError(path, f"not readable as JSON: {error}", remedy=_WRITE_AGAIN) from None
    if not isinstance(value, dict):
        raise ResultsError(path, "not a JSON object", remedy=_WRITE_AGAIN)
    return value


def _read_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (row number from 1, object) for each line of a JSONL file; a blank line is an error."""
    remedy = "remove the line or rerun the evaluation"
    try:
        with path.open("rb") as lines:
            for row, line in enumerate(lines, start=1):
                try:
                    value = json.loads(line)
                except ValueError as error:
                    raise ResultsError(path, f"broken line: {error}", row=row, remedy=remedy) from None
                if not isinstance(value, dict):
                    raise ResultsError(path, "not a JSON object", row=row, remedy=remedy)
                yield row, value
    except FileNotFoundError:
        raise ResultsError(path, "file is missing", remedy="rerun the evaluation, it is unfinished") from None


def _field(
    value: dict[str, Any], key: str, kind: type | tuple[type, ...], path: Path, row: int | None = None
) -> Any:
    """Get the field ``key`` and check its type; true, false, NaN and infinity do not count as numbers."""
    found = value.get(key)
    unwanted_bool = isinstance(found, bool) and kind is not bool  # a bool is also an int in Python
    if key not in value or not isinstance(found, kind) or unwanted_bool:
        names = " or ".join(k.__name__ for k in (kind if isinstance(kind, tuple) else (kind,)))
        raise ResultsError(
            path, f"field '{key}' must be {names}, found {found!r:.80}", row=row, remedy=_WRITE_AGAIN
        )
    if isinstance(found, float) and not math.isfinite(found):
        raise ResultsError(
            path, f"field '{key}' is {found}, not a finite number", row=row, remedy=_WRITE_AGAIN
        )
    return found


def _number_fields(value: dict[str, Any], key: str, path: Path, row: int | None = None) -> dict[str, float]:
    table = _field(value, key, dict, path, row)
    return {name: _field(table, name, (int, float), path, row) for name in table}


def read_samples(path: Path, *, shuffled: bool = False) -> tuple[LoggedSample, ...]:
    """Read one log of answers, sorted by document id.

    Raises ResultsError for a broken or incomplete row, a duplicate document, a row of the wrong kind (right
    images in a log of shuffled images or the reverse), and an empty file.
    """
    samples: dict[int, LoggedSample] = {}
    for row, value in _read_rows(path):
        target = _field(value, "target", (str, list), path, row)
        sample = LoggedSample(
            doc_id=_field(value, "doc_id", int, path, row),
            doc_hash=_field(value, "doc_hash", str, path, row),
            question=_field(value, "question", str, path, row),
            target=target if isinstance(target, str) else tuple(map(str, target)),
            answer=_field(value, "answer", str, path, row),
            metrics=_number_fields(value, "metrics", path, row),
        )
        if _field(value, "shuffled", bool, path, row) != shuffled:
            kind = "shuffled" if shuffled else "right"
            reason = f"row has shuffled = {not shuffled}, but this is the log for {kind} images"
            raise ResultsError(path, reason, row=row, remedy="rerun the evaluation")
        if sample.doc_id in samples:
            raise ResultsError(
                path, f"document {sample.doc_id} appears twice", row=row, remedy="remove one row"
            )
        samples[sample.doc_id] = sample
    if not samples:
        raise ResultsError(path, "no samples", remedy="rerun the evaluation")
    return tuple(samples[doc_id] for doc_id in sorted(samples))


def check_same_documents(
    path: Path, samples: Sequence[LoggedSample], others: Sequence[LoggedSample], name: str
) -> None:
    """Raise ResultsError, naming ``path``, unless both have the same documents, hashes and targets."""
    mine, theirs = ({sample.doc_id: sample for sample in side} for side in (samples, others))
    if mine.keys() != theirs.keys():
        here, there = sorted(mine.keys() - theirs.keys()), sorted(theirs.keys() - mine.keys())
        only = f"{len(here)} only here {here[:3]}, {len(there)} only there {there[:3]}"
        reason = f"not the same documents as {name}: {only}"
        raise ResultsError(path, reason, remedy="evaluate both on the same data and LIMIT")
    for doc_id, sample in mine.items():
        for field in ("doc_hash", "target"):
            if getattr(sample, field) != getattr(theirs[doc_id], field):
                reason = f"document {doc_id} has a different {field} than in {name}"
                raise ResultsError(path, reason, remedy="the data changed in between; rerun both evaluations")


def _check_mean(path: Path, metric: str, samples: Sequence[LoggedSample], stated: float | None) -> None:
    for sample in samples:
        score = sample.metrics.get(metric)
        if score is None or not 0 <= score <= 1:
            reason = f"document {sample.doc_id} has {metric} = {score}, not a score from 0 to 1"
            raise ResultsError(path, reason, remedy="rerun the evaluation")
    mean = fmean(sample.metrics[metric] for sample in samples)
    if stated is None or abs(mean - stated) > ROUNDING:
        reason = f"the samples' mean {metric} is {mean:.4f}, results.json says {stated}"
        raise ResultsError(path, reason, remedy="the files are from different runs; rerun the evaluation")


def _read_task(folder: Path, task: str, entry: dict[str, Any]) -> TaskLog:
    results, path, shuffled_path = (
        folder / "results.json",
        folder / f"{task}.jsonl",
        folder / f"{task}{SHUFFLED}.jsonl",
    )
    metrics = _number_fields(entry, "metrics", results)
    if not metrics:
        raise ResultsError(results, f"task {task} has no metric", remedy=_WRITE_AGAIN)
    primary = next(iter(metrics))
    samples = read_samples(path)
    if len(samples) != _field(entry, "n", int, results):
        reason = f"{len(samples)} samples, results.json says {entry['n']}"
        raise ResultsError(path, reason, remedy="rerun the evaluation, it is unfinished")
    _check_mean(path, primary, samples, metrics[primary])
    shuffled = None
    if shuffled_path.exists():
        shuffled = read_samples(shuffled_path, shuffled=True)
        check_same_documents(shuffled_path, shuffled, samples, path.name)
        _check_mean(shuffled_path, primary, shuffled, _number_fields(entry, "shuffled", results).get(primary))
    majority = _number_fields(entry, "majority", results) if "majority" in entry else {}
    return TaskLog(path, entry.get("version"), samples, shuffled, metrics, majority)


def read_model(folder: Path, *, name: str | None = None) -> ModelLogs:
    """Read one model's evaluation folder: results.json and every task's logs. Raises ResultsError."""
    if not folder.is_dir():
        remedy = f"evaluate the model first, with --out {folder.parent}"
        raise ResultsError(folder, "evaluation folder not found", remedy=remedy)
    results = folder / "results.json"
    tasks = _field(_read_json(results), "tasks", dict, results)
    for path in sorted(folder.glob("*.jsonl")):
        if path.name.removesuffix(".jsonl").removesuffix(SHUFFLED) not in tasks:
            raise ResultsError(
                path, "results.json has no entry for this log", remedy="rerun the evaluation to finish it"
            )
    return ModelLogs(
        name or folder.name,
        {task: _read_task(folder, task, _field(tasks, task, dict, results)) for task in sorted(tasks)},
    )


def check_comparable(models: Sequence[ModelLogs]) -> None:
    """Raise ResultsError unless models with a common task used the same version, documents and targets."""
    first: dict[str, tuple[str, TaskLog]] = {}
    for model in models:
        for task, log in model.tasks.items():
            name, reference = first.setdefault(task, (model.name, log))
            for field in ("version", "primary", "majority"):
                mine, theirs = getattr(log, field), getattr(reference, field)
                if mine != theirs:
                    reason = f"{field} of task {task} is {mine} here and {theirs} for {name}"
                    raise ResultsError(
                        log.path, reason, remedy="evaluate both with the same version of the task"
                    )
            check_same_documents(log.path, log.samples, reference.samples, name)


def _read_perplexity(path: Path) -> PerplexityLog:
    value = _read_json(path)
    rows_path = path.with_suffix(".jsonl")
    ids: set[str] = set()
    for row, entry in _read_rows(rows_path):
        row_id = str(_field(entry, "id", (str, int), rows_path, row))
        if row_id in ids:
            raise ResultsError(rows_path, f"id {row_id} appears twice", row=row, remedy="remove one row")
        ids.add(row_id)
    interval = None
    if value.get("interval") is not None:
        bounds: dict[str, Any] = dict(
            zip(("low", "high"), _field(value, "interval", list, path), strict=False)
        )
        low, high = (float(_field(bounds, key, (int, float), path)) for key in ("low", "high"))
        interval = (low, high)
    control = path.with_name(f"{path.stem}{SHUFFLED}.json")
    return PerplexityLog(
        path=path,
        paper=_field(value, "paper", (int, float, type(None)), path),
        corpus=_field(value, "corpus", (int, float), path),
        outliers=_field(value, "outliers", int, path),
        n=_field(value, "n", int, path),
        skipped=_field({"skipped": 0} | value, "skipped", int, path),
        interval=interval,
        shuffled=_field(_read_json(control), "corpus", (int, float), control) if control.exists() else None,
        ids=frozenset(ids),
    )


def read_perplexities(folder: Path) -> dict[str, dict[str, PerplexityLog]]:
    """Read RUN/ppl as {model: {set: log}}.

    Raises ResultsError if models scored different answers of a set.
    """
    found: dict[str, dict[str, PerplexityLog]] = {}
    first: dict[str, tuple[str, PerplexityLog]] = {}
    for path in sorted(folder.glob("*/*.json")):
        if path.stem.endswith(SHUFFLED):
            continue
        log = _read_perplexity(path)
        name, reference = first.setdefault(path.stem, (path.parent.name, log))
        if log.ids != reference.ids:
            different = sorted(log.ids ^ reference.ids)
            reason = f"not the same answers as {name}: {len(different)} differ, e.g. {different[0]}"
            raise ResultsError(path, reason, remedy="run both on the same data")
        found.setdefault(path.parent.name, {})[path.stem] = log
    return found


def read_training(folder: Path) -> list[TrainingRun]:
    """Read the manifests of all trained chains, short chains first.

    Raises ResultsError for a non-finite loss.
    """
    runs = []
    for path in folder.glob("*/manifest.json"):
        manifest = _read_json(path)
        curve = manifest.get("loss_curve", [])
        try:
            points = tuple((int(step), float(loss)) for step, loss in curve)
        except (TypeError, ValueError):
            reason = "loss_curve must be a list of [step, loss]"
            raise ResultsError(path, reason, remedy="rerun this training") from None
        for step, loss in points:
            if not math.isfinite(loss):
                raise ResultsError(
                    path, f"the loss at step {step} is {loss}", remedy="lower the learning rate"
                )
        runs.append(TrainingRun(path.parent.name, manifest, points))
    return sorted(runs, key=lambda run: (run.chain.count("-"), run.chain))


def read_run(folder: Path) -> RunLogs:
    """Read a whole run folder. Raises ResultsError if something in it is broken or cannot be compared."""
    evaluations = sorted(path.parent for path in folder.glob("eval/*/results.json"))
    unfinished = sorted({path.parent for path in folder.glob("eval/*/*.jsonl")} - set(evaluations))
    if unfinished:
        raise ResultsError(
            unfinished[0], "has no results.json", remedy="rerun this model's evaluation to finish it"
        )
    if not evaluations:
        remedy = f"evaluate a model first, with --out {folder / 'eval'}"
        raise ResultsError(folder, "no evaluated model (eval/MODEL/results.json)", remedy=remedy)
    models = [read_model(path) for path in evaluations]
    check_comparable(models)
    timings_path = folder / "timings.json"
    timings = _read_json(timings_path) if timings_path.exists() else {}
    return RunLogs(
        folder=folder,
        models={model.name: model for model in models},
        perplexity=read_perplexities(folder / "ppl"),
        training=read_training(folder),
        seconds=_number_fields(timings, "seconds", timings_path) if timings else {},
        peak_rss_mb=_field(timings, "peak_rss_mb", (int, float, type(None)), timings_path)
        if timings
        else None,
    )
