"""Draw the page's figures with matplotlib, as SVG elements to embed in the page.

Text stays text, in the page's font. Colours are the page's CSS variables, so they follow light and dark mode.
Nothing is loaded from elsewhere, and the same scores give the same bytes.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ndino.common.markdown import percent
from ndino.results.logs import TrainingRun
from ndino.results.table_data import Summary, Verdict
from ndino.results.tables import tasks_in_order
from ndino.results.verdicts import starred_scores, verdict_of

# Sizes in CSS pixels; the page scales a chart to the width of its column.
WIDTH, TOP, BOTTOM = 320.0, 6.0, 18.0
# Bar charts: height of a row, width of the names on the left and of the values on the right.
ROW_HEIGHT, NAME_WIDTH, VALUE_WIDTH = 22.0, 122.0, 48.0
BAR_WIDTH = WIDTH - NAME_WIDTH - VALUE_WIDTH
LOSS_HEIGHT, LOSS_LEFT, LOSS_RIGHT = 160.0, 36.0, 14.0
MAX_POINTS = 240  # of a loss curve; a small chart cannot show more
NAME_LENGTH = 18  # characters that fit into NAME_WIDTH

# matplotlib cannot use CSS variables: it draws in these placeholder colours, which `_embedded` replaces.
INK, SOFT, LINE, CARD, GREEN, AMBER, BLUE = (f"#00000{number}" for number in range(1, 8))
_VARIABLES = {
    INK: "ink",
    SOFT: "soft",
    LINE: "line",
    CARD: "card",
    GREEN: "green",
    AMBER: "amber",
    BLUE: "blue",
}
# Shape and colour both show the verdict, for readers who cannot tell the colours apart.
_VERDICTS: dict[Verdict, tuple[str, str, float]] = {
    "sees": (GREEN, "o", 8),
    "blind": (AMBER, "D", 6),
    **dict.fromkeys(("no control", ""), (BLUE, "s", 6.5)),
}
_SETTINGS = {
    "svg.fonttype": "none",  # keep text as text instead of outlines
    "text.parse_math": False,  # a model's name may hold dollar signs
    "font.size": 11.5,
    "text.color": INK,
    "lines.solid_capstyle": "butt",
    **{
        f"{axis}tick.{key}": value
        for axis in "xy"
        for key, value in {"color": SOFT, "labelsize": 10.5, "major.size": 0, "major.pad": 5}.items()
    },
}


@dataclass(frozen=True)
class Chart:
    """``svg`` is escaped HTML with a text alternative; ``note`` is shown beside the title."""

    title: str
    svg: Markup
    note: str = ""


@dataclass(frozen=True)
class ScoreBar:
    """One row of a bar chart: a bar from ``start`` to ``value`` with an interval, and ``text`` on its right.

    All values are fractions. ``shuffled`` and ``majority`` get marks of their own; None means no mark.
    """

    name: str
    start: float
    value: float
    interval: Sequence[float]
    text: str
    verdict: Verdict
    shuffled: float | None = None
    majority: float | None = None


def score_charts(summary: Summary) -> list[Chart]:
    """Draw scores with right and with shuffled images on a scale from 0 to 100.

    One chart per task; if the run has only one model, one chart with all its tasks.
    """
    starred = starred_scores(summary)

    def bar(label: str, name: str, task: str) -> ScoreBar:
        entry = summary["models"][name][task]
        value, shuffled = entry[entry["metric"]], entry["shuffled"]
        text = percent(value) + "*" * ((name, task) in starred)
        start = value if shuffled is None else shuffled
        return ScoreBar(
            label, start, value, entry["interval"], text, verdict_of(entry), shuffled, entry["majority"]
        )

    models, tasks = list(summary["models"]), tasks_in_order(summary)
    if len(models) == 1 and tasks:
        bars = {models[0]: [bar(task.upper(), models[0], task) for task in tasks]}
    else:
        bars = {task.upper(): [bar(name, name, task) for name in _answered(summary, task)] for task in tasks}
    return [_bar_chart("Scores", title, rows, (0.0, 1.0)) for title, rows in bars.items()]


def gain_charts(summary: Summary) -> list[Chart]:
    """Draw each model's gain over shuffled images, one chart per task, all charts on the same scale."""

    def bar(name: str, entry: Mapping[str, Any]) -> ScoreBar:
        gain = entry["right_minus_shuffled"]
        text = percent(gain, signed=True)
        return ScoreBar(name, 0.0, gain, entry["right_minus_shuffled_interval"], text, verdict_of(entry))

    bars = {
        task.upper(): [
            bar(name, entry)
            for name, entry in _answered(summary, task).items()
            if entry["right_minus_shuffled"] is not None
        ]
        for task in tasks_in_order(summary)
    }
    bounds = [bound for rows in bars.values() for each in rows for bound in each.interval]
    # At least 10 points to either side, so that tiny gains do not look large.
    span = min([-0.1, *bounds]), max([0.1, *bounds])
    return [_bar_chart("Right minus shuffled", title, rows, span) for title, rows in bars.items() if rows]


def _answered(summary: Summary, task: str) -> dict[str, Mapping[str, Any]]:
    return {name: entries[task] for name, entries in summary["models"].items() if task in entries}


def _bar_chart(kind: str, title: str, bars: Sequence[ScoreBar], span: tuple[float, float]) -> Chart:
    def draw(axes: Axes) -> None:
        axes.set_xlim(*span)
        axes.set_ylim(len(bars) - 0.5, -0.5)  # the first row on top
        axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f}".replace("-", "−")))
        axes.set_yticks([])
        axes.grid(axis="x", color=LINE, linewidth=1, clip_on=False)
        axes.plot([0, 0], [-0.5, len(bars) - 0.5], color=SOFT, linewidth=1)
        beside = {"transform": axes.get_yaxis_transform(), "va": "center_baseline"}
        for row, bar in enumerate(bars):
            colour, shape, size = _VERDICTS[bar.verdict]
            if bar.majority is not None:
                axes.plot([bar.majority] * 2, [row - 0.5, row + 0.5], color=SOFT, linewidth=1, dashes=(3, 3))
            axes.plot([bar.start, bar.value], [row, row], color=colour, linewidth=7, alpha=0.35)
            axes.plot(bar.interval, [row, row], "|-", color=INK, linewidth=1.2, markersize=6)
            if bar.shuffled is not None:
                axes.plot(bar.shuffled, row, "o", color=CARD, markeredgecolor=INK, markersize=6)
            axes.plot(bar.value, row, shape, color=colour, markersize=size)
            axes.text(-NAME_WIDTH / BAR_WIDTH, row, _fitting_name(bar.name), **beside)
            axes.text(1 + VALUE_WIDTH / BAR_WIDTH, row, bar.text, ha="right", **beside)

    described = "; ".join(f"{bar.name} {bar.text} ({_bar_description(bar)})" for bar in bars)
    height = TOP + ROW_HEIGHT * len(bars) + BOTTOM
    return Chart(
        title, _svg(draw, height, f"{kind}, {title}: {described}", left=NAME_WIDTH, right=VALUE_WIDTH)
    )


def _bar_description(bar: ScoreBar) -> str:
    shuffled = "" if bar.shuffled is None else f"shuffled {percent(bar.shuffled)}"
    return ", ".join(filter(None, (shuffled, bar.verdict)))


def _fitting_name(name: str) -> str:
    """Cut a name to what fits, and replace unprintable characters (names come from folders)."""
    shown = "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in name)
    return shown if len(shown) <= NAME_LENGTH else shown[: NAME_LENGTH - 1] + "…"


def downsample(curve: Sequence[tuple[int, float]], limit: int = MAX_POINTS) -> list[tuple[float, float]]:
    """Average neighbouring (step, loss) points so that at most ``limit`` remain."""
    size = math.ceil(len(curve) / limit)
    groups = [curve[start : start + size] for start in range(0, len(curve), size)] if size > 1 else []
    if not groups:
        return list(curve)
    return [(sum(s for s, _ in g) / len(g), sum(loss for _, loss in g) / len(g)) for g in groups]


def loss_chart(run: TrainingRun) -> Chart | None:
    """Draw a run's loss curve, with the loss axis from 0. Returns None if no loss was logged."""
    if not run.loss_curve:
        return None
    curve = downsample(run.loss_curve)

    def draw(axes: Axes) -> None:
        axes.set_xlim(0, max(run.loss_curve[-1][0], 1))
        axes.set_ylim(0, max(1e-9, *(loss for _, loss in curve)))
        axes.xaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10], integer=True))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
        axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda loss, _: f"{loss:g}"))
        axes.grid(axis="y", color=LINE, linewidth=1, clip_on=False)
        axes.spines["bottom"].set(visible=True, color=SOFT)
        axes.plot(*zip(*curve, strict=True), color=BLUE, linewidth=1.8)

    last = f"last {run.loss_curve[-1][1]:.3g}"
    alternative = f"Training loss of {run.chain}, {last}"
    return Chart(run.chain, _svg(draw, LOSS_HEIGHT, alternative, left=LOSS_LEFT, right=LOSS_RIGHT), last)


def _svg(
    draw: Callable[[Axes], None], height: float, alternative: str, *, left: float, right: float
) -> Markup:
    with matplotlib.rc_context(), warnings.catch_warnings():
        # The browser picks a font that has the glyph, so matplotlib's warning does not matter.
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        matplotlib.rcdefaults()  # the user's matplotlibrc must not change the page
        # The salt makes ids repeatable and, as each chart has its own text, unique within the page.
        settings = _SETTINGS | {"svg.hashsalt": ascii(alternative)}
        matplotlib.rcParams.update(cast("dict[Any, Any]", settings))  # annotated with every key's literal
        figure = Figure(figsize=(WIDTH / 72, height / 72), dpi=72)
        axes = figure.add_axes(
            (left / WIDTH, BOTTOM / height, 1 - (left + right) / WIDTH, 1 - (TOP + BOTTOM) / height)
        )
        axes.set_axisbelow(True)
        axes.spines[:].set_visible(False)
        axes.patch.set_visible(False)
        figure.patch.set_visible(False)
        draw(axes)
        for artist in axes.get_children():  # marks at the scale's ends reach beyond the axes
            artist.set_clip_on(False)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    return _embedded(file.getvalue(), height, alternative)


def _embedded(document: str, height: float, alternative: str) -> Markup:
    """Turn the SVG document into an element of the page.

    Only tags are changed, never the text between them.
    """

    def changed(tag: re.Match[str]) -> str:
        # matplotlib gives groups the same ids in every chart, but an id must be unique within the page.
        text = re.sub(r'^<g id="[^"]*"', "<g", tag[0])
        text = re.sub(r" font-family: [^;\"]*;?", "", text)
        return re.sub("#00000[1-7]", lambda colour: f"var(--{_VARIABLES[colour[0]]})", text)

    inside = document[document.index("<svg") :]
    inside = inside[inside.index(">") + 1 :]
    inside = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", inside, count=1, flags=re.DOTALL)
    opening = Markup('<svg viewBox="0 0 {:g} {:g}" role="img" aria-label="{}">').format(
        WIDTH, height, alternative
    )
    return opening + Markup(re.sub(r"\n\s*", "\n", re.sub(r"<[^<>]+>", changed, inside)))
