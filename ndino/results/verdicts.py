"""What scores and tests say: whether a model looks at the image, and which of two models is better."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ndino.results.comparison import better_model
from ndino.results.table_data import Summary, Verdict


def verdict_of(entry: Mapping[str, Any]) -> Verdict:
    """Judge by the gain over shuffled images: "sees" if its 95 % interval lies above 0, else "blind".

    For a metric of which less is better, it has to lie below 0. Empty for the share of answers in the task's
    language, which needs no image: a task without right answers has no other score.
    """
    if entry["metric"] == "in_language":
        return ""
    interval = entry["right_minus_shuffled_interval"]
    if interval is None:
        return "no control"
    gained = interval[1] < 0 if entry["lower_is_better"] else interval[0] > 0
    return "sees" if gained else "blind"


def winner(summary: Summary, row: Mapping[str, Any]) -> str | None:
    """The better model of a tested pair, None if the corrected p-value shows no significant difference."""
    entries = {name: summary["models"][name][row["task"]] for name in (row["a"], row["b"])}
    return better_model(row, {name: entry[entry["metric"]] for name, entry in entries.items()})


def loser(row: Mapping[str, Any], better: str) -> str:
    """The other model of a pair."""
    return row["b"] if better == row["a"] else row["a"]


def starred_scores(summary: Summary) -> dict[tuple[str, str], tuple[str, ...]]:
    """By (model, task), the models than which it is significantly better there."""
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for row in summary["tests"]:
        better = winner(summary, row)
        if better is not None:
            beaten = found.get((better, row["task"]), ())
            found[better, row["task"]] = (*beaten, loser(row, better))
    return found


def but_doubtful(entry: Mapping[str, Any]) -> str:
    """What to add where a better score is no evidence of seeing or of having learned the task; or nothing."""
    doubts = ["blind"] if verdict_of(entry) == "blind" else []
    if entry["majority"] is not None and entry[entry["metric"]] <= entry["majority"]:
        doubts.append("not above majority")
    return f"but {', '.join(doubts)}" if doubts else ""
