"""The page of stages that are training: how far they are, their curves and captions, from progress.json."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ndino.common.files import write_text
from ndino.results import figures
from ndino.results.examples import clip
from ndino.results.logs import ResultsError, TrainingRun
from ndino.results.report import CONTROLS, format_duration

PAGE = "live.html"
RELOAD_SECONDS = 30
POLL_SECONDS = 2  # until a run has logged its first step
CAPTIONS = 8  # of a stage, the newest
CAPTION_LENGTH = 300  # characters
# progress.json's figures by their names on the page, with how each is written.
FIGURES = {
    "loss": ("loss", "{:.4g}"),
    "grad_norm": ("gradient norm", "{:.3g}"),
    "learning_rate": ("learning rate", "{:.2g}"),
    "samples_per_second": ("samples a second", "{:.4g}"),
    "tokens_per_second": ("tokens a second", "{:,.0f}"),
    "useful_share": ("useful share", "{:.1%}"),
    "mfu": ("MFU", "{:.1%}"),
    "gpu_memory_gib": ("GPU memory", "{:.1f} GiB"),
}


@dataclass(frozen=True)
class LiveStage:
    """One stage as its run folder has it now.

    ``charts`` are of the training and the held-out loss; ``left`` is the time to the last step in words,
    empty where it is not known; ``captions`` are the lines of samples.jsonl, the newest first.
    """

    name: str
    step: int
    of: int
    finished: bool
    age: float  # seconds since progress.json was written
    left: str
    figures: Sequence[tuple[str, str]]
    charts: Sequence[figures.Chart]
    captions: Sequence[Mapping[str, str]]


def live_stages(folder: Path, *, now: float) -> list[LiveStage]:
    """The stages of a run folder, or the stage that is that folder, by name.

    Raises:
        ResultsError: there is no stage that has logged a step.
    """
    own = [folder] if (folder / "progress.json").exists() else []
    found = [*own, *(path.parent for path in sorted(folder.glob("*/progress.json")))]
    stages = [stage for path in found if (stage := _stage(path, now)) is not None]
    if not stages:
        raise ResultsError(
            folder,
            "no stage has logged a step here yet",
            remedy="wait until training has logged its first, or name a run or one of its stages",
        )
    return stages


def is_starting(folder: Path) -> bool:
    """Whether a stage has begun in a run folder, or is that folder, and none has logged a step yet."""
    stages = [folder, *(path for path in folder.iterdir() if path.is_dir())]
    # The lock is there while models and data are loaded, run.json from then on.
    begun = any((path / name).exists() for path in stages for name in (".lock", "run.json"))
    return begun and not any((path / "progress.json").exists() for path in stages)


def _stage(folder: Path, now: float) -> LiveStage | None:
    progress = _mapping(folder / "progress.json")
    step, of = progress.get("step"), progress.get("of")
    if not isinstance(step, int) or not isinstance(of, int):
        return None
    name = folder.resolve().name
    pace = _number(progress.get("seconds_per_step"))
    finished = (folder / "manifest.json").exists()
    shown = [
        (label, form.format(value))
        for key, (label, form) in FIGURES.items()
        if (value := _number(progress.get(key))) is not None
    ]
    curves = {
        name: _curve(progress.get("loss_curve")),
        f"{name}, held out": _curve(progress.get("eval_curve")),
    }
    charts = [figures.loss_chart(TrainingRun(title, {}, curve)) for title, curve in curves.items()]
    return LiveStage(
        name=name,
        step=step,
        of=of,
        finished=finished,
        age=max(0.0, now - (_number(progress.get("time")) or now)),
        left="" if finished or pace is None else format_duration(pace * max(0, of - step)),
        figures=shown,
        charts=[chart for chart in charts if chart is not None],
        captions=_captions(folder / "samples.jsonl"),
    )


def _mapping(path: Path) -> dict[str, Any]:
    # A file that is being replaced, or cut off by a full disk, is left out until the next look.
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> float | None:
    wanted = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if wanted else None


def _curve(value: Any) -> tuple[tuple[int, float], ...]:
    points = value if isinstance(value, list) else []
    return tuple(
        (int(point[0]), float(point[1]))
        for point in points
        if isinstance(point, list) and len(point) == 2 and None not in (_number(point[0]), _number(point[1]))
    )


def _captions(path: Path) -> list[dict[str, str]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return []
    found = []
    for line in lines[::-1][:CAPTIONS]:
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            fields = ("step", "image", "answer", "caption")
            found.append({name: clip(str(value.get(name, "")), CAPTION_LENGTH) for name in fields})
    return found


def write_live(folder: Path) -> tuple[Path, list[LiveStage]]:
    """Write the page to ``folder``; returns its path and what it shows. Everything from files is escaped.

    Raises:
        ResultsError: as `live_stages`.
    """
    stages = live_stages(folder, now=time.time())
    environment = Environment(
        loader=PackageLoader("ndino.results"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"format_duration": format_duration}
    page = environment.get_template("live.html.j2").render(
        title=folder.resolve().name,
        stages=stages,
        reload=0 if all(stage.finished for stage in stages) else RELOAD_SECONDS,
    )
    path = folder / PAGE
    write_text(path, page.translate(CONTROLS), errors="replace")
    return path, stages
