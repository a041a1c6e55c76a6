"""Coordinates of the page's figures; the template draws them as inline SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ndino.results.logs import TrainingRun
from ndino.results.tables import Summary, Verdict, percent, tasks_of, verdict_of, winners

POINTS = 240  # of a loss curve: more than a small chart can show
LOSS_LEFT, LOSS_TOP, LOSS_WIDTH, LOSS_HEIGHT = 34.0, 10.0, 270.0, 130.0
BAR_LEFT, BAR_WIDTH, BAR_STEP, BAR_TOP = 122.0, 150.0, 22.0, 8.0


@dataclass(frozen=True)
class Tick:
    at: float
    label: str


@dataclass(frozen=True)
class LossChart:
    """Training loss over steps; ``points`` is an SVG polyline."""

    title: str
    points: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    last: str


@dataclass(frozen=True)
class Bar:
    """One model: a bar of ``width`` from ``start``, a whisker from ``low`` to ``high``, maybe a ``mark``."""

    name: str
    y: float
    start: float
    width: float
    low: float
    high: float
    label: str
    verdict: Verdict
    mark: float | None = None


@dataclass(frozen=True)
class BarChart:
    """One task; ``line`` is where a dashed line stands, if any."""

    title: str
    zero: float
    height: float
    bars: tuple[Bar, ...]
    ticks: tuple[Tick, ...]
    line: float | None = None


def tick_values(low: float, high: float, count: int = 4) -> list[float]:
    """Up to ``count`` + 1 round values between ``low`` and ``high``."""
    raw = (high - low) / count
    if raw <= 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [step * i for i in range(first, math.floor(high / step + 1e-9) + 1)]


def thin(curve: Sequence[tuple[int, float]], limit: int = POINTS) -> list[tuple[float, float]]:
    """The curve with at most ``limit`` points, each the mean of its neighbours' steps and losses."""
    size = math.ceil(len(curve) / limit)
    groups = [curve[start : start + size] for start in range(0, len(curve), size)] if size > 1 else []
    if not groups:
        return list(curve)
    return [(sum(s for s, _ in g) / len(g), sum(loss for _, loss in g) / len(g)) for g in groups]


def loss_chart(run: TrainingRun) -> LossChart | None:
    """The chart of a run's loss, from 0; None when nothing was logged."""
    if not run.loss_curve:
        return None
    curve = thin(run.loss_curve)
    last_step = max(run.loss_curve[-1][0], 1)
    top = max(max(loss for _, loss in curve), 1e-9)

    def x(step: float) -> float:
        return round(LOSS_LEFT + LOSS_WIDTH * step / last_step, 1)

    def y(loss: float) -> float:
        return round(LOSS_TOP + LOSS_HEIGHT * (1 - loss / top), 1)

    return LossChart(
        title=run.chain,
        points=" ".join(f"{x(step)},{y(loss)}" for step, loss in curve),
        x_ticks=tuple(Tick(x(step), f"{step:,.0f}") for step in tick_values(0, last_step, 3)),
        y_ticks=tuple(Tick(y(loss), f"{loss:g}") for loss in tick_values(0, top)),
        last=f"{run.loss_curve[-1][1]:.3g}",
    )


def score_charts(summary: Summary) -> list[BarChart]:
    """One chart a task of each model's score, from 0 to 100; marks are scores with shuffled images.

    The dashed line is the majority.
    """
    starred = winners(summary)

    def bar(row: int, name: str, task: str, entry: Mapping[str, Any]) -> Bar:
        value, (least, most) = entry[entry["metric"]], entry["interval"]
        return Bar(
            name=name,
            y=BAR_TOP + BAR_STEP * row,
            start=_across(0),
            width=round(_across(value) - _across(0), 1),
            low=_across(least),
            high=_across(most),
            label=percent(value) + "*" * ((name, task) in starred),
            verdict=verdict_of(entry),
            mark=None if entry["shuffled"] is None else _across(entry["shuffled"]),
        )

    charts = []
    for task in tasks_of(summary):
        rows = _rows(summary, task)
        majority = rows[0][1]["majority"]
        charts.append(
            BarChart(
                title=task.upper(),
                zero=_across(0),
                height=BAR_TOP + BAR_STEP * len(rows),
                bars=tuple(bar(row, name, task, entry) for row, (name, entry) in enumerate(rows)),
                ticks=tuple(Tick(_across(value), f"{100 * value:.0f}") for value in tick_values(0, 1)),
                line=None if majority is None else _across(majority),
            )
        )
    return charts


def _across(value: float, low: float = 0.0, high: float = 1.0) -> float:
    return round(BAR_LEFT + BAR_WIDTH * (value - low) / (high - low), 1)


def _rows(summary: Summary, task: str) -> list[tuple[str, Mapping[str, Any]]]:
    return [(name, entries[task]) for name, entries in summary["models"].items() if task in entries]


def gain_charts(summary: Summary) -> list[BarChart]:
    """One chart a task, all on the same scale, of what the right image adds to each model's score."""
    rows = {
        task: [row for row in _rows(summary, task) if row[1]["right_minus_shuffled"] is not None]
        for task in tasks_of(summary)
    }
    bounds = [b for rs in rows.values() for _, entry in rs for b in entry["right_minus_shuffled_interval"]]
    low, high = min([-0.1, *bounds]), max([0.1, *bounds])
    x = partial(_across, low=low, high=high)
    ticks = tuple(Tick(x(value), f"{100 * value:.0f}".replace("-", "−")) for value in tick_values(low, high))

    def bar(row: int, name: str, entry: Mapping[str, Any]) -> Bar:
        value, (least, most) = entry["right_minus_shuffled"], entry["right_minus_shuffled_interval"]
        return Bar(
            name=name,
            y=BAR_TOP + BAR_STEP * row,
            start=min(x(0), x(value)),
            width=round(abs(x(value) - x(0)), 1),
            low=x(least),
            high=x(most),
            label=percent(value, signed=True),
            verdict=verdict_of(entry),
        )

    return [
        BarChart(
            title=task.upper(),
            zero=x(0),
            height=BAR_TOP + BAR_STEP * len(models),
            bars=tuple(bar(row, name, entry) for row, (name, entry) in enumerate(models)),
            ticks=ticks,
        )
        for task, models in rows.items()
        if models
    ]
