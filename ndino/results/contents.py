"""What the report's page leads to: its sections, and of each task where its charts, tables and cards are."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from ndino.results.figures import Chart
from ndino.results.table_data import ReportTable


@dataclass(frozen=True)
class Link:
    """A place on the page: what is there, and the id of its element."""

    label: str
    target: str


@dataclass(frozen=True)
class Contents:
    """The page's contents.

    Attributes:
        tables: in the page's order, without those of single tasks and pairs.
        tasks: of each task its places.
        folded: the keys of the tables that are closed at first, since a reader wants few of them.
    """

    tables: Sequence[Link]
    tasks: Mapping[str, Sequence[Link]]
    folded: Collection[str]


def contents_of(
    tasks: Sequence[str],
    tables: Sequence[ReportTable],
    *,
    score_charts: Sequence[Chart],
    gain_charts: Sequence[Chart],
    examples: Collection[str],
) -> Contents:
    """Find the places of a page whose charts have the ids ``score-N`` and ``gain-N`` and cards ``cards-N``.

    Args:
        examples: the tasks that have cards, in the page's order.
    """
    owners = {table.key: owner for table in tables if (owner := _owner(table.key, tasks)) is not None}
    pairs = [table.key for table in tables if table.key.startswith("pairs")]
    listed = [Link(table.title, table.key) for table in tables if table.key not in {*owners, *pairs}]
    if pairs:
        listed.append(Link("Which model is better?", pairs[0]))
    cards = {task: f"cards-{number}" for number, task in enumerate(examples, start=1)}
    places: dict[str, Sequence[Link]] = {}
    for task in tasks:
        found = [
            *_of_charts("scores", "score", task, score_charts),
            *(Link("table", table.key) for table in tables if _has_column(table, task)),
            *(
                Link(table.key.removeprefix(f"{task}-").replace("_", " "), table.key)
                for table in tables
                if owners.get(table.key) == task
            ),
            *_of_charts("gain", "gain", task, gain_charts),
        ]
        places[task] = [*found, Link("examples", cards[task])] if task in cards else found
    several = pairs if len(pairs) > 1 else []
    return Contents(listed, places, {*owners, *several, "more"})


def _owner(key: str, tasks: Sequence[str]) -> str | None:
    """The task whose parts or letters a table shows."""
    return max((task for task in tasks if key.startswith(f"{task}-")), key=len, default=None)


def _has_column(table: ReportTable, task: str) -> bool:
    return table.key != "more" and any(column.name.startswith(f"{task.upper()} ") for column in table.columns)


def _of_charts(label: str, kind: str, task: str, charts: Sequence[Chart]) -> list[Link]:
    return [
        Link(label, f"{kind}-{number}")
        for number, chart in enumerate(charts, start=1)
        if chart.title == task.upper()
    ]
