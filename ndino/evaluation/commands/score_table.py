"""The table of scores that ``ndino evaluate`` prints."""

from __future__ import annotations

from ndino.evaluation.commands.evaluation_run import EvaluationRun


def table_of(run: EvaluationRun) -> str:
    """A row for each model and task, and for each model and group; in Markdown."""
    from pytablewriter import MarkdownTableWriter
    from pytablewriter.style import Style
    from pytablewriter.typehint import String

    rows = []
    for model in run.models:
        groups, current = run.stores[model.name].results["groups"], run.current(model)
        for task in run.benchmarks.names:
            if (entry := current.get(task)) is None:
                rows.append([model.name, task, *["–"] * 7])
                continue
            metric, score = next(iter(entry["metrics"].items()))
            control = entry["shuffled"].get(metric)
            gain = None if control is None else score - control
            others = [entry["metrics"].get("robust"), entry["majority"].get(metric), control, gain]
            error = entry.get("errors", {}).get(metric)
            shown = _percent(score) + ("" if error is None else f" ± {_percent(error)}")
            rows.append([model.name, task, entry["n"], metric, shown, *map(_percent, others)])
        for group in run.benchmarks.groups:
            if totals := groups.get(group):
                metric, score = next(iter(totals.items()))
                scores = [score, totals.get("robust"), None, None, None]
                rows.append([model.name, group, "", metric, *map(_percent, scores)])
    headers = ["model", "task", "n", "metric", "score", "robust", "majority", "shuffled", "right − shuffled"]
    writer = MarkdownTableWriter(headers=headers, value_matrix=rows, margin=1)
    writer.type_hints = [String] * len(headers)
    writer.column_styles = [Style(align="right" if i in (2, 4, 5, 6, 7, 8) else "left") for i in range(9)]
    return writer.dumps()


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}"
