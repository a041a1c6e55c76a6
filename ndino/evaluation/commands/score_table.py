"""The table of scores that ``ndino evaluate`` prints."""

from __future__ import annotations

from statistics import fmean

from ndino.common.markdown import percent
from ndino.evaluation.commands.evaluation_run import EvaluationRun
from ndino.evaluation.controls import BLANK


def table_of(run: EvaluationRun) -> str:
    """A row for each model and task, and for each model and group; in Markdown."""
    from pytablewriter import MarkdownTableWriter
    from pytablewriter.style import Style
    from pytablewriter.typehint import String

    headers = ["model", "task", "n", "metric", "score", "robust", "majority", "shuffled", "right − shuffled"]
    if any(BLANK in store.controls(task) for store in run.stores.values() for task in run.benchmarks.names):
        headers.append(BLANK)
    rows = []
    for model in run.models:
        groups, current = run.stores[model.name].results["groups"], run.current(model)
        for task in run.benchmarks.names:
            if (entry := current.get(task)) is None:
                rows.append([model.name, task, *["–"] * (len(headers) - 2)])
                continue
            metric, score = next(iter(entry["metrics"].items()))
            controls = run.stores[model.name].controls(task)
            blank = controls.pop(BLANK, {}).get(metric)
            shuffled = [scores[metric] for scores in controls.values() if metric in scores]
            control = fmean(shuffled) if shuffled else None
            gain = None if control is None else score - control
            others = [entry["metrics"].get("robust"), entry["majority"].get(metric), control]
            error = entry.get("errors", {}).get(metric)
            shown = percent(score) + ("" if error is None else f" ± {percent(error)}")
            shown_gain = [cell(gain, signed=True), cell(blank)]
            asked = entry.get("scored", entry["n"])
            rows.append([model.name, task, asked, metric, shown, *map(cell, others), *shown_gain])
        for group in run.benchmarks.groups:
            if totals := groups.get(group):
                metric, score = next(iter(totals.items()))
                scores = [score, totals.get("robust"), None, None, None, None]
                rows.append([model.name, group, "", metric, *map(cell, scores)])
    table = [row[: len(headers)] for row in rows]
    writer = MarkdownTableWriter(headers=headers, value_matrix=table, margin=1)
    writer.type_hints = [String] * len(headers)
    texts = {"model", "task", "metric"}
    writer.column_styles = [Style(align="left" if name in texts else "right") for name in headers]
    return writer.dumps()


def cell(share: float | None, *, signed: bool = False) -> str:
    """A share in percent, empty without one; with a plain minus, so that a number can be copied."""
    return "" if share is None else percent(share, signed=signed).replace("−", "-")
