"""The summary at a glance, for the end of a run in a terminal: one line a model, tables as wide as it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ndino.results.statistics import ALPHA
from ndino.results.tables import (
    OTHER_TASKS,
    PAPER_TABLES,
    PERPLEXITY,
    Summary,
    other_tasks,
    percent,
    perplexity_number,
    sets_of,
    verdict_of,
    winners,
)

GAP = 2  # columns of a terminal between those of a table
EMPTY = Text("    –")


@dataclass(frozen=True)
class _Column:
    """``cells`` by model, and what stands below the models (None where nothing does)."""

    head: str
    cells: Mapping[str, Text]
    foot: Text | None = None

    @property
    def width(self) -> int:
        texts = [*self.head.splitlines(), *map(str, self.cells.values())]
        return max(map(cell_len, texts)) + GAP


def print_summary(summary: Summary, console: Console) -> None:
    """Print all scores and perplexities with one legend below them."""
    starred = winners(summary)
    for title, tasks in (
        *((title, tasks) for _, title, tasks in PAPER_TABLES),
        (OTHER_TASKS, other_tasks(summary)),
    ):
        columns = [column for task in tasks if (column := _score_column(summary, task, starred))]
        _print(title, list(summary["models"]), columns, console)
    _print(PERPLEXITY, list(summary["perplexity"]), _perplexity_columns(summary), console)
    console.print(Text(" ".join(_legend(summary)), style="dim"))
    console.print()


def _score_column(summary: Summary, task: str, starred: set[tuple[str | None, str]]) -> _Column | None:
    entries = {name: tasks[task] for name, tasks in summary["models"].items() if task in tasks}
    if not entries:
        return None
    first = next(iter(entries.values()))
    return _Column(
        f"{task.upper()} ↑\nn = {first['n']}",
        {name: _score(entry, (name, task) in starred) for name, entry in entries.items()},
        EMPTY if first["majority"] is None else Text(f"{percent(first['majority']):>5}"),
    )


def _score(entry: Mapping[str, Any], starred: bool) -> Text:
    text = f"{percent(entry[entry['metric']]):>5}"
    verdict = verdict_of(entry)
    if verdict != "no control":
        text += f" ({percent(entry['right_minus_shuffled'], signed=True)})"
    text += "·" * (verdict == "blind") + "*" * starred
    return Text(text, style="dim" if verdict == "blind" else "")


def _perplexity_columns(summary: Summary) -> list[_Column]:
    def cell(entry: Mapping[str, Any]) -> Text:
        paper = "⋄" if entry["paper"] is None else perplexity_number(entry["paper"])
        return Text(f"{paper:>6} / {perplexity_number(entry['corpus'])}")

    columns = []
    for key in sets_of(summary):
        entries = {name: sets[key] for name, sets in summary["perplexity"].items() if key in sets}
        head = f"{key.upper()} ↓\nn = {next(iter(entries.values()))['n']}"
        columns.append(_Column(head, {name: cell(entry) for name, entry in entries.items()}))
    return columns


def _print(title: str, models: Sequence[str], columns: Sequence[_Column], console: Console) -> None:
    name_width = max([cell_len(name) for name in (*models, "majority")]) + GAP
    for part in _parts(columns, console.width - name_width - GAP):
        table = Table(
            box=box.SIMPLE_HEAD,
            show_edge=False,
            title=Text(title, style="bold"),
            title_justify="left",
        )
        table.add_column("", no_wrap=True)
        for column in part:
            table.add_column(Text(column.head), no_wrap=True)
        for name in models:
            if any(name in column.cells for column in part):
                table.add_row(Text(name), *(column.cells.get(name, EMPTY) for column in part))
        feet = [column.foot for column in part]
        if None not in feet:
            table.add_row(Text("majority"), *feet, style="italic")
        console.print(table)
        console.print()


def _parts(columns: Sequence[_Column], width: int) -> Iterator[list[_Column]]:
    """As many columns at a time as fit, but at least one."""
    part: list[_Column] = []
    for column in columns:
        if part and sum(each.width for each in part) + column.width > width:
            yield part
            part = []
        part.append(column)
    if part:
        yield part


def _legend(summary: Summary) -> Iterator[str]:
    yield (
        "86.2 (+66.2): score in percent, and what the right image adds over shuffled ones, in points. "
        "·: nothing shows that the image raises the score (blind)."
    )
    if summary["mcnemar"]:
        yield f"*: the better of a tested pair (p < {ALPHA})."
    yield "majority: always giving the commonest answer."
    if summary["perplexity"]:
        yield (
            "5.00 / 31.75: perplexity as in the paper (⋄: each answer above 1,000), and over all tokens of "
            "the answers."
        )
    yield "Intervals and tests are on the page."
