"""Everything in a run's folder: evaluations, perplexities, trainings, times."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ndino.results.logs.fields import ResultsError, field, number_fields, read_json
from ndino.results.logs.perplexity import PerplexityLog, read_perplexities
from ndino.results.logs.tasks import ModelLogs, check_comparable, read_model, unnamed_images

_UNFINISHED = "the evaluation is unfinished and left out; rerun it to finish it."


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
    perplexity, left_out = read_perplexities(folder / "ppl")
    timings_path = folder / "timings.json"
    timings = read_json(timings_path) if timings_path.exists() else {}
    return RunLogs(
        folder=folder,
        notes=(*notes, *unnamed_images(models), *left_out),
        models={model.name: model for model in models},
        perplexity=perplexity,
        training=read_training(folder),
        seconds=number_fields(timings, "seconds", timings_path) if timings else {},
        peak_rss_mb=field(timings, "peak_rss_mb", (int, float, type(None)), timings_path)
        if timings
        else None,
    )
