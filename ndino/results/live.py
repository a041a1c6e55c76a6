"""The page of stages that are training: how far they are, their curves and captions, from progress.json."""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ndino.common.files import write_text
from ndino.common.locks import is_held
from ndino.common.parsing import parse_json, read_json
from ndino.results import figures
from ndino.results.examples import clip
from ndino.results.logs import ResultsError, TrainingRun
from ndino.results.report import format_duration, render_template

PAGE = "live.html"
LOCK = ".lock"  # in a run's folder: held while a process is at work in it, as "PID HOST"
FAILURE = "failure.json"  # in a run's folder: reason and time of the last failure that would come again
RELOAD_SECONDS = 30
POLL_SECONDS = 2  # until a run has logged its first step
CAPTIONS = 8  # of a stage, the newest
CAPTION_LENGTH = 300  # characters
# A run whose lock says nothing here counts as stopped when nothing was logged for this long, or for this many
# times as long as between its last two logged steps: a step may include an evaluation and a checkpoint.
SILENT_SECONDS, SILENT_LOGS = 3600, 5
ROUNDING = 1  # second: of the time in progress.json
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
    empty where it is not known or the stage has ended; ``problem`` is why it ended early, empty unless it
    did; ``captions`` are the lines of samples.jsonl, the newest first.
    """

    name: str
    step: int
    of: int
    finished: bool
    problem: str
    age: float  # seconds since progress.json was written
    left: str
    figures: Sequence[tuple[str, str]]
    charts: Sequence[figures.Chart]
    captions: Sequence[Mapping[str, str]]

    @property
    def ended(self) -> bool:
        """Whether nothing more will come by itself."""
        return self.finished or bool(self.problem)


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
    """Whether a stage is at work in a run folder, or is that folder, and none has logged a step yet.

    Training makes the folder, so one that is not there yet is starting too.
    """
    if not folder.exists():
        return True
    stages = [folder, *(path for path in folder.iterdir() if path.is_dir())]
    if any((path / "progress.json").exists() for path in stages):
        return False
    # The lock is held while models and data are loaded, too.
    return any((path / LOCK).exists() and _at_work(path) is not False for path in stages)


def _stage(folder: Path, now: float) -> LiveStage | None:
    progress = _mapping(folder / "progress.json")
    step, of = progress.get("step"), progress.get("of")
    if not isinstance(step, int) or not isinstance(of, int):
        return None
    name = folder.resolve().name
    pace = _number(progress.get("seconds_per_step"))
    finished = (folder / "manifest.json").exists()
    logged = _number(progress.get("time")) or now
    age = max(0.0, now - logged)
    problem = "" if finished else _problem(folder, progress, step, logged, age)
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
        problem=problem,
        age=age,
        left="" if finished or problem or pace is None else format_duration(pace * max(0, of - step)),
        figures=shown,
        charts=[chart for chart in charts if chart is not None],
        captions=_captions(folder / "samples.jsonl"),
    )


def _problem(folder: Path, progress: Mapping[str, Any], step: int, logged: float, age: float) -> str:
    """Why a stage that is not finished has ended, in words; empty while it is at work."""
    at_work = _at_work(folder)
    if at_work or (at_work is None and age <= _patience(progress)):
        return ""
    # A failure from before the last logged step is of an earlier start.
    failure = _mapping(folder / FAILURE)
    reason = failure.get("reason")
    if isinstance(reason, str) and (_number(failure.get("time")) or 0.0) >= logged - ROUNDING:
        return f"failed: {reason}"
    if at_work is None:
        silent = f"nothing was logged for {format_duration(age)}"
        return f"probably stopped at step {step}: {silent}, and {_elsewhere(folder)}"
    return f"stopped at step {step}; rerun its command to resume"


def _at_work(folder: Path) -> bool | None:
    """Whether a process holds a run's folder; None where its lock cannot tell."""
    host = _holder_s_host(folder)
    # A lock of another host is not seen here on every network file system.
    return None if host not in ("", socket.gethostname()) else is_held(folder / LOCK)


def _holder_s_host(folder: Path) -> str:
    """The host of the process that last held a run's folder; empty where it is not known."""
    try:
        _, host = (folder / LOCK).read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        return ""
    return host


def _elsewhere(folder: Path) -> str:
    host = _holder_s_host(folder)
    if host in ("", socket.gethostname()):
        return f"{folder / LOCK} cannot be tested"
    return f"it ran on {host}, whose lock cannot be tested here"


def _patience(progress: Mapping[str, Any]) -> float:
    """Seconds without a logged step after which a run whose lock says nothing counts as stopped."""
    steps = [step for step, _ in _curve(progress.get("loss_curve"))][-2:]
    between = steps[1] - steps[0] if len(steps) == 2 else 1
    pace = _number(progress.get("seconds_per_step")) or 0.0
    return max(SILENT_SECONDS, SILENT_LOGS * between * pace)


def _mapping(path: Path) -> dict[str, Any]:
    # A file that is being replaced, or cut off by a full disk, is left out until the next look.
    try:
        value = read_json(path)
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
            value = parse_json(line)
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
    page = render_template(
        "live.html.j2",
        title=folder.resolve().name,
        stages=stages,
        reload=0 if all(stage.ended for stage in stages) else RELOAD_SECONDS,
    )
    path = folder / PAGE
    write_text(path, page, errors="replace")
    return path, stages
