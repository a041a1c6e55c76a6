"""Scores of a judge, ``eval/MODEL/judge/JUDGE/judge.json``, and how far it agreed with labelled answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ndino.results.logs.fields import field, interval_field, read_json
from ndino.results.logs.samples import LoggedSample, answers_digest

JUDGED_AGAIN = "rerun ndino judge run"
_NUMBER = (int, float)


@dataclass(frozen=True)
class JudgedMean:
    """A judge's mean verdict on one task's answers, 0 to 1.

    Attributes:
        interval: 95 %, over images.
        n, judged, unreadable: answers, verdicts that could be read, and those that could not.
        kappa, kappa_interval: the judge's agreement with labelled answers beyond chance; None: not measured.
        labelled: how many labelled answers that is of.
    """

    judge: str
    mean: float
    interval: tuple[float, float]
    n: int
    judged: int
    unreadable: int
    kappa: float | None = None
    kappa_interval: tuple[float, float] | None = None
    labelled: int | None = None


def read_judged(
    folder: Path, logs: Mapping[str, Sequence[LoggedSample]]
) -> tuple[dict[str, list[JudgedMean]], list[str]]:
    """The judged scores of an evaluation folder by task, of every judge; none is normal.

    Args:
        logs: the answers by task. Verdicts on others are left out.

    Returns:
        The scores, and a note for each judge and task that was left out.

    Raises:
        ResultsError: a file is broken.
    """
    found: dict[str, list[JudgedMean]] = {}
    notes = []
    for path in sorted(folder.glob("judge/*/judge.json")):
        judge, value = path.parent.name, read_json(path)
        checks = field({"checks": {}} | value, "checks", dict, path)
        tasks = field(value, "tasks", dict, path)
        for task, samples in logs.items():
            if task not in tasks:
                continue
            entry = field(tasks, task, dict, path)
            if entry.get("mean") is None:  # no verdict that could be read
                continue
            mean = judged_mean(
                {**_checked(checks.get(str(entry.get("language")))), **entry, "judge": judge}, path
            )
            if field(entry, "answers", str, path) == answers_digest(samples):
                found.setdefault(task, []).append(mean)
            else:
                notes.append(
                    f"{task}: the verdicts of {judge} are on other answers and left out; {JUDGED_AGAIN}."
                )
    return found, notes


def _checked(check: Any) -> dict[str, Any]:
    if not isinstance(check, Mapping):
        return {}
    return {"labelled": check.get("rows"), **{name: check.get(name) for name in ("kappa", "kappa_interval")}}


def judged_mean(value: dict[str, Any], path: Path) -> JudgedMean:
    """A judged score from JSON; raises ResultsError, naming ``path``, for what is none."""
    value = {"kappa": None, "kappa_interval": None, "labelled": None} | value
    return JudgedMean(
        judge=field(value, "judge", str, path),
        mean=field(value, "mean", _NUMBER, path),
        interval=interval_field(value, "interval", path),
        n=field(value, "n", int, path),
        judged=field(value, "judged", int, path),
        unreadable=field(value, "unreadable", int, path),
        kappa=field(value, "kappa", (*_NUMBER, type(None)), path),
        kappa_interval=None
        if value["kappa_interval"] is None
        else interval_field(value, "kappa_interval", path),
        labelled=field(value, "labelled", (int, type(None)), path),
    )
