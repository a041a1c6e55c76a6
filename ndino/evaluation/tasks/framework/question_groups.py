"""Scores of questions that are asked in several rows, such as all rotations of their options: right in all.

Each row says what it contributes (`RowOfGroup`), since rows are scored one by one. The score of a group is in
the log's row of its first place, so that means and tests over the rows that have it are over groups. A group
of which rows are missing has no score: it is neither right nor wrong. ``--limit`` takes whole groups; a log
of an earlier version may end within one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan
from statistics import fmean
from typing import Any


@dataclass(frozen=True)
class RowOfGroup:
    """What one row contributes to its group's score.

    Attributes:
        group: what tells the group from others.
        place: of the row in its group, from 0.
        size: how many rows the group has.
        right: whether the answer to this row is right.
        first_alone: the group is right if its first row is, whatever the others are.
    """

    group: str
    place: int
    size: int
    right: bool
    first_alone: bool = False


def mean_of_groups(values: Sequence[RowOfGroup]) -> float:
    """The share of whole groups that are right, 0 to 1; NaN where none is whole.

    A group that a bootstrap drew twice counts twice.
    """
    right = _right_groups(values)
    found = [right[value.group] for value in values if value.place == 0 and value.group in right]
    return fmean(found) if found else nan


def group_scores(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    """For each row, the scores of its group that stand in it: 1 or 0 by metric.

    Empty but in the first place, and for a group that is not whole.

    Args:
        rows: what each metric made of each row.
    """
    found: list[dict[str, float]] = [{} for _ in rows]
    for metric in _grouped(rows):
        values: list[RowOfGroup] = [row[metric] for row in rows]
        right = _right_groups(values)
        for scores, value in zip(found, values, strict=True):
            if value.place == 0 and value.group in right:
                scores[metric] = float(right[value.group])
    return found


def left_out(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """How many groups are not whole, and which metrics leave them out; None where all are whole.

    Args:
        rows: what each metric made of each row.
    """
    metrics = _grouped(rows)
    cut: set[str] = set()
    for metric in metrics:
        values: list[RowOfGroup] = [row[metric] for row in rows]
        cut |= {value.group for value in values} - _right_groups(values).keys()
    if not cut:
        return None
    named = "1 question lacks rows and is" if len(cut) == 1 else f"{len(cut):,} questions lack rows and are"
    return f"{named} left out of {', '.join(metrics)}"


def counted_rows(values: Sequence[Any]) -> list[int]:
    """The rows whose value counts: those of whole groups, and all that are of no group."""
    right = _right_groups([value for value in values if isinstance(value, RowOfGroup)])
    return [
        row for row, value in enumerate(values) if not isinstance(value, RowOfGroup) or value.group in right
    ]


def _grouped(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The metrics that are of groups, in their order."""
    return [*dict.fromkeys(name for row in rows for name in row if isinstance(row[name], RowOfGroup))]


def _right_groups(values: Sequence[RowOfGroup]) -> dict[str, bool]:
    """Of each group that is whole, whether it is right."""
    places: dict[str, dict[int, bool]] = {}
    firsts: dict[str, RowOfGroup] = {}
    for value in values:
        found = places.setdefault(value.group, {})
        found[value.place] = found.get(value.place, False) or value.right
        firsts.setdefault(value.group, value)
    return {
        group: found[0] if firsts[group].first_alone else all(found.values())
        for group, found in places.items()
        if len(found) == firsts[group].size
    }
