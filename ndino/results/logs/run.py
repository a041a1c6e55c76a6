"""Everything in a run's folder: evaluations, perplexities, trainings, times."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ndino.results.logs.fields import ResultsError, field, number_fields, read_json, read_rows
from ndino.results.logs.tasks import SHUFFLED, ModelLogs, check_comparable, read_model, unnamed_images

_UNFINISHED = "the evaluation is unfinished and left out; rerun it to finish it."


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
    """Everything read from a run folder. ``perplexity`` is keyed by model, then by set.

    ``notes`` say in a sentence each what was left out or could not be checked.
    """

    folder: Path
    models: Mapping[str, ModelLogs]
    perplexity: Mapping[str, Mapping[str, PerplexityLog]]
    training: Sequence[TrainingRun]
    seconds: Mapping[str, float]
    peak_rss_mb: float | None
    notes: tuple[str, ...] = ()


def _read_perplexity(path: Path) -> PerplexityLog:
    value = read_json(path)
    rows_path = path.with_suffix(".jsonl")
    ids: set[str] = set()
    for row, entry in read_rows(rows_path):
        row_id = str(field(entry, "id", (str, int), rows_path, row))
        if row_id in ids:
            raise ResultsError(rows_path, f"id {row_id} appears twice", row=row, remedy="remove one row")
        ids.add(row_id)
    interval = None
    if value.get("interval") is not None:
        bounds: dict[str, Any] = dict(
            zip(("low", "high"), field(value, "interval", list, path), strict=False)
        )
        low, high = (float(field(bounds, key, (int, float), path)) for key in ("low", "high"))
        interval = (low, high)
    control = path.with_name(f"{path.stem}{SHUFFLED}.json")
    return PerplexityLog(
        path=path,
        paper=field(value, "paper", (int, float, type(None)), path),
        corpus=field(value, "corpus", (int, float), path),
        outliers=field(value, "outliers", int, path),
        n=field(value, "n", int, path),
        skipped=field({"skipped": 0} | value, "skipped", int, path),
        interval=interval,
        shuffled=field(read_json(control), "corpus", (int, float), control) if control.exists() else None,
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
        manifest = read_json(path)
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
    folders = sorted({path.parent for path in folder.glob("eval/*/*.json*")})
    notes, models = [], []
    for path in folders:
        if not (path / "results.json").exists():
            notes.append(f"{path.name}: {_UNFINISHED}")
            continue
        model = read_model(path)
        if model.tasks:
            models.append(model)
        elif not model.notes:
            notes.append(f"{path.name}: {_UNFINISHED}")
        notes += model.notes
    if not models:
        remedy = f"evaluate a model first, with --out {folder / 'eval'}"
        reason = "no evaluated model (eval/MODEL/results.json)"
        raise ResultsError(folder, " ".join([reason, *notes]).rstrip("."), remedy=remedy)
    check_comparable(models)
    timings_path = folder / "timings.json"
    timings = read_json(timings_path) if timings_path.exists() else {}
    return RunLogs(
        folder=folder,
        notes=(*notes, *unnamed_images(models)),
        models={model.name: model for model in models},
        perplexity=read_perplexities(folder / "ppl"),
        training=read_training(folder),
        seconds=number_fields(timings, "seconds", timings_path) if timings else {},
        peak_rss_mb=field(timings, "peak_rss_mb", (int, float, type(None)), timings_path)
        if timings
        else None,
    )
