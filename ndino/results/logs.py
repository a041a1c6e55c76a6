"""Read and check what training, evaluation and perplexity left in a run folder.

Nothing is compared before it is known to be comparable: a broken line, a document answered twice, or two
models that did not answer the same documents is refused with file, row and reason.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

SHUFFLED = ".shuffled"
ROUNDING = 5e-4  # results.json may hold rounded values


class ResultsError(ValueError):
    """Input that cannot be used; ``str()`` reads "FILE row N: reason (remedy)"."""

    def __init__(self, path: Path, reason: str, *, row: int | None = None, remedy: str = "") -> None:
        where = f"{path} row {row}" if row is not None else str(path)
        super().__init__(f"{where}: {reason}" + (f" ({remedy})" if remedy else ""))


@dataclass(frozen=True)
class Sample:
    """One answered document. ``metrics`` holds this document's scores by metric name."""

    doc_id: int
    doc_hash: str
    question: str
    target: str | tuple[str, ...]
    answer: str
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class TaskLog:
    """One model on one task; samples are sorted by document id and ``shuffled`` has the same documents."""

    path: Path
    version: Any
    samples: tuple[Sample, ...]
    shuffled: tuple[Sample, ...] | None
    metrics: Mapping[str, float]
    majority: Mapping[str, float]

    @property
    def primary(self) -> str:
        return next(iter(self.metrics))

    def scores(self, metric: str | None = None) -> list[float]:
        """Per-document scores, by default of the primary metric."""
        return [sample.metrics[metric or self.primary] for sample in self.samples]

    def shuffled_scores(self) -> list[float] | None:
        if self.shuffled is None:
            return None
        return [sample.metrics[self.primary] for sample in self.shuffled]


@dataclass(frozen=True)
class ModelLogs:
    name: str
    tasks: Mapping[str, TaskLog]


@dataclass(frozen=True)
class PerplexityLog:
    """Perplexity of one model on one set; ``paper`` is None when every answer is above the paper's threshold.

    ``interval`` belongs to ``corpus``; ``shuffled`` is the corpus perplexity with other samples' images;
    ``skipped`` counts answers that could not be scored.
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
    """One trained stage chain; ``loss_curve`` holds (optimizer step, loss)."""

    chain: str
    manifest: Mapping[str, Any]
    loss_curve: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class RunLogs:
    """All that a run folder holds. ``perplexity`` is keyed by model, then by set."""

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
        raise ResultsError(
            path, "file is missing", remedy="the step that writes it has not finished"
        ) from None
    except (OSError, ValueError) as error:
        raise ResultsError(path, f"not readable as JSON: {error}", remedy="run the step again") from None
    if not isinstance(value, dict):
        raise ResultsError(path, "holds no JSON object", remedy="run the step again")
    return value


def _read_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (row number from 1, object) of a JSONL file; a blank line is as broken as any other."""
    remedy = "remove the line or run the evaluation again"
    try:
        with path.open("rb") as lines:
            for row, line in enumerate(lines, start=1):
                try:
                    value = json.loads(line)
                except ValueError as error:
                    raise ResultsError(path, f"broken line: {error}", row=row, remedy=remedy) from None
                if not isinstance(value, dict):
                    raise ResultsError(path, "no JSON object", row=row, remedy=remedy)
                yield row, value
    except FileNotFoundError:
        raise ResultsError(
            path, "file is missing", remedy="the evaluation has not finished, run it again"
        ) from None


def _take(
    value: dict[str, Any], key: str, kind: type | tuple[type, ...], path: Path, row: int | None = None
) -> Any:
    """The field ``key`` if it has the wanted type; true, false, NaN and infinity are no numbers."""
    found = value.get(key)
    unwanted_bool = isinstance(found, bool) and kind is not bool
    if key not in value or not isinstance(found, kind) or unwanted_bool:
        names = " or ".join(k.__name__ for k in (kind if isinstance(kind, tuple) else (kind,)))
        raise ResultsError(path, f"field '{key}' must be {names}, found {found!r:.80}", row=row)
    if isinstance(found, float) and not math.isfinite(found):
        raise ResultsError(path, f"field '{key}' is {found}, not a finite number", row=row)
    return found


def _numbers(value: dict[str, Any], key: str, path: Path, row: int | None = None) -> dict[str, float]:
    table = _take(value, key, dict, path, row)
    return {name: _take(table, name, (int, float), path, row) for name in table}


def read_samples(path: Path, *, shuffled: bool = False) -> tuple[Sample, ...]:
    """Read one sample log, sorted by document id.

    Raises ResultsError for a broken or incomplete row, a duplicate document, a row of the wrong kind (right
    images in a shuffled log or the reverse), and an empty file.
    """
    samples: dict[int, Sample] = {}
    for row, value in _read_rows(path):
        target = _take(value, "target", (str, list), path, row)
        sample = Sample(
            doc_id=_take(value, "doc_id", int, path, row),
            doc_hash=_take(value, "doc_hash", str, path, row),
            question=_take(value, "question", str, path, row),
            target=target if isinstance(target, str) else tuple(map(str, target)),
            answer=_take(value, "answer", str, path, row),
            metrics=_numbers(value, "metrics", path, row),
        )
        if _take(value, "shuffled", bool, path, row) != shuffled:
            kind = "shuffled" if shuffled else "right"
            raise ResultsError(path, f"this log is for {kind} images, the row is not", row=row)
        if sample.doc_id in samples:
            raise ResultsError(
                path, f"document {sample.doc_id} is there twice", row=row, remedy="remove one row"
            )
        samples[sample.doc_id] = sample
    if not samples:
        raise ResultsError(path, "no samples", remedy="run the evaluation again")
    return tuple(samples[doc_id] for doc_id in sorted(samples))


def check_same_documents(path: Path, samples: Sequence[Sample], others: Sequence[Sample], name: str) -> None:
    """Raise ResultsError (for ``path``) unless both hold the same documents with the same hash and target."""
    mine, theirs = ({sample.doc_id: sample for sample in side} for side in (samples, others))
    if mine.keys() != theirs.keys():
        here, there = sorted(mine.keys() - theirs.keys()), sorted(theirs.keys() - mine.keys())
        only = f"{len(here)} only here {here[:3]}, {len(there)} only there {there[:3]}"
        reason = f"other documents than {name}: {only}"
        raise ResultsError(path, reason, remedy="evaluate both on the same data and LIMIT")
    for doc_id, sample in mine.items():
        for field in ("doc_hash", "target"):
            if getattr(sample, field) != getattr(theirs[doc_id], field):
                reason = f"document {doc_id} has another {field} than in {name}"
                raise ResultsError(
                    path, reason, remedy="the data changed between the two; evaluate both again"
                )


def _check_mean(path: Path, metric: str, samples: Sequence[Sample], stated: float | None) -> None:
    for sample in samples:
        score = sample.metrics.get(metric)
        if score is None or not 0 <= score <= 1:
            reason = f"document {sample.doc_id} has {metric} = {score}, a score from 0 to 1 is needed"
            raise ResultsError(path, reason, remedy="run the evaluation again")
    mean = fmean(sample.metrics[metric] for sample in samples)
    if stated is None or abs(mean - stated) > ROUNDING:
        reason = f"the samples' mean {metric} is {mean:.4f}, results.json says {stated}"
        raise ResultsError(path, reason, remedy="they are of different runs; run the evaluation again")


def _read_task(folder: Path, task: str, entry: dict[str, Any]) -> TaskLog:
    results, path, shuffled_path = (
        folder / "results.json",
        folder / f"{task}.jsonl",
        folder / f"{task}{SHUFFLED}.jsonl",
    )
    metrics = _numbers(entry, "metrics", results)
    if not metrics:
        raise ResultsError(results, f"task {task} has no metric")
    primary = next(iter(metrics))
    samples = read_samples(path)
    if len(samples) != _take(entry, "n", int, results):
        reason = f"{len(samples)} samples, results.json says {entry['n']}"
        raise ResultsError(path, reason, remedy="the evaluation has not finished, run it again")
    _check_mean(path, primary, samples, metrics[primary])
    shuffled = None
    if shuffled_path.exists():
        shuffled = read_samples(shuffled_path, shuffled=True)
        check_same_documents(shuffled_path, shuffled, samples, path.name)
        _check_mean(shuffled_path, primary, shuffled, _numbers(entry, "shuffled", results).get(primary))
    majority = _numbers(entry, "majority", results) if "majority" in entry else {}
    return TaskLog(path, entry.get("version"), samples, shuffled, metrics, majority)


def read_model(folder: Path, *, name: str | None = None) -> ModelLogs:
    """Read one model's evaluation folder: results.json and every task's sample logs."""
    if not folder.is_dir():
        remedy = f"evaluate the model first, with OUT={folder.parent}"
        raise ResultsError(folder, "no such evaluation folder", remedy=remedy)
    results = folder / "results.json"
    tasks = _take(_read_json(results), "tasks", dict, results)
    for path in sorted(folder.glob("*.jsonl")):
        if path.name.removesuffix(".jsonl").removesuffix(SHUFFLED) not in tasks:
            raise ResultsError(
                path, "results.json has no entry for this log", remedy="run its evaluation to the end"
            )
    return ModelLogs(
        name or folder.name,
        {task: _read_task(folder, task, _take(tasks, task, dict, results)) for task in sorted(tasks)},
    )


def check_comparable(models: Sequence[ModelLogs]) -> None:
    """Raise ResultsError unless models that share a task had the same version, documents and targets."""
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
        row_id = str(_take(entry, "id", (str, int), rows_path, row))
        if row_id in ids:
            raise ResultsError(rows_path, f"id {row_id} is there twice", row=row, remedy="remove one row")
        ids.add(row_id)
    interval = value.get("interval")
    if interval is not None:
        bounds = dict(zip(("low", "high"), _take(value, "interval", list, path), strict=False))
        interval = tuple(float(_take(bounds, key, (int, float), path)) for key in ("low", "high"))
    control = path.with_name(f"{path.stem}{SHUFFLED}.json")
    return PerplexityLog(
        path=path,
        paper=_take(value, "paper", (int, float, type(None)), path),
        corpus=_take(value, "corpus", (int, float), path),
        outliers=_take(value, "outliers", int, path),
        n=_take(value, "n", int, path),
        skipped=_take({"skipped": 0} | value, "skipped", int, path),
        interval=interval,
        shuffled=_take(_read_json(control), "corpus", (int, float), control) if control.exists() else None,
        ids=frozenset(ids),
    )


def read_perplexities(folder: Path) -> dict[str, dict[str, PerplexityLog]]:
    """Read RUN/ppl as {model: {set: log}}. Raises ResultsError when models scored other answers of a set."""
    found: dict[str, dict[str, PerplexityLog]] = {}
    first: dict[str, tuple[str, PerplexityLog]] = {}
    for path in sorted(folder.glob("*/*.json")):
        if path.stem.endswith(SHUFFLED):
            continue
        log = _read_perplexity(path)
        name, reference = first.setdefault(path.stem, (path.parent.name, log))
        if log.ids != reference.ids:
            different = sorted(log.ids ^ reference.ids)
            reason = f"other answers than {name}: {len(different)} differ, e.g. {different[0]}"
            raise ResultsError(path, reason, remedy="run both on the same data")
        found.setdefault(path.parent.name, {})[path.stem] = log
    return found


def read_training(folder: Path) -> list[TrainingRun]:
    """Read the manifests of the trained stage chains, short chains first."""
    runs = []
    for path in folder.glob("*/manifest.json"):
        manifest = _read_json(path)
        curve = manifest.get("loss_curve", [])
        try:
            points = tuple((int(step), float(loss)) for step, loss in curve)
        except (TypeError, ValueError):
            reason = "loss_curve must be a list of [step, loss]"
            raise ResultsError(path, reason, remedy="train this run again") from None
        for step, loss in points:
            if not math.isfinite(loss):
                raise ResultsError(
                    path, f"the loss at step {step} is {loss}", remedy="lower the learning rate"
                )
        runs.append(TrainingRun(path.parent.name, manifest, points))
    return sorted(runs, key=lambda run: (run.chain.count("-"), run.chain))


def read_run(folder: Path) -> RunLogs:
    """Read a whole run folder; raises ResultsError when something in it is broken or cannot be compared."""
    evaluations = sorted(path.parent for path in folder.glob("eval/*/results.json"))
    unfinished = sorted({path.parent for path in folder.glob("eval/*/*.jsonl")} - set(evaluations))
    if unfinished:
        raise ResultsError(
            unfinished[0], "has no results.json", remedy="run this model's evaluation to the end"
        )
    if not evaluations:
        remedy = f"evaluate a model first, with OUT={folder / 'eval'}"
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
        seconds=_numbers(timings, "seconds", timings_path) if timings else {},
        peak_rss_mb=_take(timings, "peak_rss_mb", (int, float, type(None)), timings_path)
        if timings
        else None,
    )
