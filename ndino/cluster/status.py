"""The family's jobs as a table: state, step, loss, time left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ndino.cluster.family import SlurmJob
from ndino.common.parsing import read_json
from ndino.train.checkpoints import PROGRESS


@dataclass(frozen=True)
class Queued:
    """What ``squeue -h -o "%i|%T|%L|%r"`` says of a job: number, state, time left of its limit, reason."""

    number: str
    state: str
    limit: str
    reason: str


def read_queue(text: str) -> dict[str, Queued]:
    """squeue's lines by job number."""
    rows = (line.strip().split("|", 3) for line in text.splitlines() if line.count("|") >= 3)
    return {row[0]: Queued(*row) for row in rows}


def rows(
    jobs: list[SlurmJob], numbers: Mapping[str, str], queue: Mapping[str, Queued], runs: Path
) -> list[tuple[str, str, str, str, str, str]]:
    """Rows of job, SLURM id, state, step, loss and time left; "-" where unknown."""
    found = []
    for job in jobs:
        number = numbers.get(job.name, "-")
        queued = queue.get(number)
        progress = _progress(runs / job.name)
        found.append(
            (
                job.name,
                number,
                _state(job, number, queued),
                f"{progress['step']} of {progress['of']}" if progress else "-",
                f"{progress['loss']:.4g}" if progress else "-",
                _left(progress, queued) if not job.done else "-",
            )
        )
    return found


def _state(job: SlurmJob, number: str, queued: Queued | None) -> str:
    if job.done:
        return "done"
    if queued is None:
        return "failed" if number != "-" else "not submitted"
    if queued.state == "PENDING":
        return f"waiting ({queued.reason})"
    return queued.state.lower()


def _left(progress: Mapping[str, Any] | None, queued: Queued | None) -> str:
    if queued is None or queued.state != "RUNNING":
        return "-"
    if progress is None:
        return f"limit {queued.limit}"
    seconds = (progress["of"] - progress["step"]) * progress["seconds_per_step"]
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02} (limit {queued.limit})"


def _progress(out: Path) -> Mapping[str, Any] | None:
    try:
        return read_json(out / PROGRESS)
    except (OSError, ValueError):
        return None


def show(found: list[tuple[str, str, str, str, str, str]], console: Console) -> None:
    """Print the table."""
    table = Table(box=None, pad_edge=False)
    for title in ("job", "number", "state", "step", "loss", "time left"):
        table.add_column(
            title, justify="right" if title in ("number", "step", "loss", "time left") else "left"
        )
    for row in found:
        table.add_row(*row)
    console.print(table)
