"""Print a run's summary in the terminal: one line per model, tables split to fit the terminal's width."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ndino.common.markdown import percent
from ndino.results.comparison import tests_of_family
from ndino.results.statistics import ALPHA
from ndino.results.table_data import Summary, arrow, perplexity_number
from ndino.results.tables import (
    PERPLEXITY,
    other_groups,
    perplexity_sets,
    score_groups,
)
from ndino.results.verdicts import but_doubtful, starred_scores, verdict_of

GAP = 2  # characters between two columns of a table
EMPTY = Text("    –")


@dataclass(frozen=True)
class _TerminalColumn:
    """One column of a table: ``cells`` by model name, ``foot`` in the "majority" row (None: no such row)."""

    head: str
    cells: Mapping[str, Text]
    foot: Text | None = None

    @property
    def width(self) -> int:
        texts = [*self.head.splitlines(), *map(str, self.cells.values())]
        return max(map(cell_len, texts)) + GAP + 1  # and the space between two columns


def print_summary(summary: Summary, console: Console) -> None:
    """Print all scores and perplexities, followed by one legend."""
    starred = starred_scores(summary)
    for group in (*score_groups(summary), *other_groups(summary)):
        columns = [column for task in group.tasks if (column := _score_column(summary, task, starred))]
        _print(group.title, list(summary["models"]), columns, console)
    _print(PERPLEXITY, list(summary["perplexity"]), _perplexity_columns(summary), console)
    console.print(Text(" ".join(_legend(summary)), style="dim"))
    console.print()


def _score_column(
    summary: Summary, task: str, starred: Collection[tuple[str, str]]
) -> _TerminalColumn | None:
    entries = {name: tasks[task] for name, tasks in summary["models"].items() if task in tasks}
    if not entries:
        return None
    first = next(iter(entries.values()))
    return _TerminalColumn(
        f"{task.upper()} {arrow(first)}\nn = {first['n']}",
        {name: _score(entry, (name, task) in starred) for name, entry in entries.items()},
        EMPTY if first["majority"] is None else Text(f"{percent(first['majority']):>5}"),
    )


def _score(entry: Mapping[str, Any], starred: bool) -> Text:
    text = f"{percent(entry[entry['metric']]):>5}"
    verdict = verdict_of(entry)
    if entry["right_minus_shuffled"] is not None:
        text += f" ({percent(entry['right_minus_shuffled'], signed=True)})"
    text += "·" * (verdict == "blind") + "*" * starred
    return Text(text, style="dim" if verdict == "blind" else "")


def _perplexity_columns(summary: Summary) -> list[_TerminalColumn]:
    def cell(entry: Mapping[str, Any]) -> Text:
        paper = "⋄" if entry["paper"] is None else perplexity_number(entry["paper"])
        return Text(f"{paper:>6} / {perplexity_number(entry['corpus'])}")

    columns = []
    for key in perplexity_sets(summary):
        entries = {name: sets[key] for name, sets in summary["perplexity"].items() if key in sets}
        head = f"{key.upper()} ↓\nn = {next(iter(entries.values()))['n']}"
        columns.append(_TerminalColumn(head, {name: cell(entry) for name, entry in entries.items()}))
    return columns


def _print(title: str, models: Sequence[str], columns: Sequence[_TerminalColumn], console: Console) -> None:
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


def _parts(columns: Sequence[_TerminalColumn], width: int) -> Iterator[list[_TerminalColumn]]:
    """Split the columns into groups that fit into ``width`` characters; a group has at least one column."""
    part: list[_TerminalColumn] = []
    for column in columns:
        if part and sum(each.width for each in part) + column.width > width:
            yield part
            part = []
        part.append(column)
    if part:
        yield part


def _legend(summary: Summary) -> Iterator[str]:
    yield (
        "86.2 (+66.2): score in percent and, in points, its gain over the score with shuffled images. "
        "·: no measurable gain from the image (blind)."
    )
    if summary["tests"]:
        found = [
            f"{task.upper()} ({name}>{','.join(beaten)}{_doubt(summary['models'][name][task])})"
            for (name, task), beaten in starred_scores(summary).items()
        ]
        named = f": {', '.join(found)}" if found else ""
        level = f"p < {ALPHA}, corrected over {tests_of_family(summary)}"
        yield f"*: significantly better ({level}){named}."
    yield "majority: the score for always giving the most common answer."
    if summary["perplexity"]:
        yield (
            "5.00 / 31.75: perplexity as the paper computes it (⋄: every answer was above 1,000 and left "
            "out) / over all answer tokens."
        )
    yield from (f"Note: {note}" for note in summary["notes"])
    tests = " and tests" if summary["tests"] or summary.get("perplexity_tests") else ""
    yield f"The report page shows confidence intervals{tests}."


def _doubt(entry: Mapping[str, Any]) -> str:
    return f" {text}" if (text := but_doubtful(entry)) else ""
