"""Several leaderboards as one: equal columns become one, others stay apart, and no model is two."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ndino.results.leaderboard.rows import Leaderboard, ModelRow, PerplexityColumn, ScoreColumn
from ndino.results.logs import ResultsError

Column = ScoreColumn | PerplexityColumn
Entries = Mapping[str, Mapping[str, Any]]


def merge(found: Sequence[tuple[Path, Leaderboard]]) -> Leaderboard:
    """Put leaderboards together; their order makes no difference.

    Raises:
        ResultsError: two files say different things of a column, or of a model's name.
    """
    columns: dict[str, tuple[Path, Any]] = {}
    perplexities: dict[str, tuple[Path, Any]] = {}
    models: dict[str, tuple[Path, ModelRow]] = {}
    for path, board in found:
        for known, added in ((columns, board.columns), (perplexities, board.perplexity_columns)):
            for key, column in added.items():
                first, same = known.get(key, (path, column))
                known[key] = (first, _one_column(path, column, first, same))
        titles = {key: column.task for key, (_, column) in columns.items()}
        titles |= {key: column.set for key, (_, column) in perplexities.items()}
        for name, row in board.models.items():
            first, same = models.get(name, (path, row))
            models[name] = (first, _one_model(name, path, row, first, same, titles))
    return Leaderboard(
        {key: column for key, (_, column) in columns.items()},
        {key: column for key, (_, column) in perplexities.items()},
        {name: row for name, (_, row) in models.items()},
    )


def _one_column(path: Path, column: Column, first: Path, same: Column) -> Column:
    if isinstance(column, ScoreColumn) and isinstance(same, ScoreColumn):
        # Results of earlier versions do not say it.
        origin = same.origin or column.origin
        column, same = replace(column, origin=column.origin or origin), replace(same, origin=origin)
    for name, value in vars(column).items():
        if value != (other := vars(same)[name]):
            title = column.task if isinstance(column, ScoreColumn) else column.set
            reason = f"{title} has {name} {value}, and in {first} {other}, for the same questions"
            raise ResultsError(path, reason, remedy="write both files again with the same version")
    return same


def _one_model(
    name: str, path: Path, row: ModelRow, first: Path, same: ModelRow, titles: Mapping[str, str]
) -> ModelRow:
    """One row of two with the same name, which say the same where both say something."""
    for difference in _differences(row, same, titles):
        reason = f"model {name!r} is another one than in {first}, or has other numbers: {difference}"
        raise ResultsError(path, reason, remedy="give one of them another name in its file, under models")
    return ModelRow(same.answers, _union(row.scores, same.scores), _union(row.perplexity, same.perplexity))


def _union(mine: Entries, theirs: Entries) -> Entries:
    """Both; of two that differ in what they were made with, always the same one."""
    both = {**mine, **theirs}
    return {
        key: min(
            (side[key] for side in (mine, theirs) if key in side),
            key=lambda each: json.dumps(each, sort_keys=True),
        )
        for key in both
    }


def _differences(row: ModelRow, same: ModelRow, titles: Mapping[str, str]) -> list[str]:
    found = [
        f"{name} {_short(row.answers.get(name))} here, {_short(same.answers.get(name))} there"
        for name in sorted({*row.answers, *same.answers})
        if row.answers.get(name) != same.answers.get(name)
    ]
    shared = row.scores.keys() <= same.scores.keys() or row.scores.keys() >= same.scores.keys()
    if not (row.answers or same.answers or shared):
        found.append("neither says of which weights it is")
    for mine, theirs in ((row.scores, same.scores), (row.perplexity, same.perplexity)):
        for key in sorted(mine.keys() & theirs.keys()):
            found += [
                f"{titles[key]} {figure} {_short(value)} here, {_short(theirs[key].get(figure))} there"
                for figure, value in mine[key].items()
                if figure != "made_with" and value != theirs[key].get(figure)
            ]
    return found


def _short(value: Any) -> str:
    return f"{value!s:.60}"
