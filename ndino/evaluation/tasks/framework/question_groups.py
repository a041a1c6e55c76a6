"""Scores of questions that are asked in several rows, such as all rotations of their options: right in all.

Each row says what it contributes (`RowOfGroup`), since rows are scored one by one. The score of a group is in
the log's row of its first place, so that means and tests over the rows that have it are over groups.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
    """

    group: str
    place: int
    size: int
    right: bool


def all_right(values: Sequence[RowOfGroup]) -> float:
    """The share of groups in which all rows are right, 0 to 1.

    A group that ``--limit`` cuts off counts as wrong. One that a bootstrap drew twice counts twice.
    """
    right = _right_groups(values)
    return fmean(right[value.group] for value in values if value.place == 0)


def mean_of_first(values: Sequence[float | None]) -> float:
    """The mean over the rows that have a value, such as those in their first place."""
    return fmean(value for value in values if value is not None)


def group_scores(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    """For each row, the scores of its group that stand in it: 1 or 0 by metric, empty but in the first place.

    Args:
        rows: what each metric made of each row.
    """
    found: list[dict[str, float]] = [{} for _ in rows]
    for metric in {name for row in rows for name, value in row.items() if isinstance(value, RowOfGroup)}:
        values: list[RowOfGroup] = [row[metric] for row in rows]
        right = _right_groups(values)
        for scores, value in zip(found, values, strict=True):
            if value.place == 0:
                scores[metric] = float(right[value.group])
    return found


def _right_groups(values: Sequence[RowOfGroup]) -> dict[str, bool]:
    places: dict[str, set[int]] = {}
    for value in values:
        places.setdefault(value.group, set()).update({value.place} if value.right else ())
    return {value.group: len(places[value.group]) == value.size for value in values}
