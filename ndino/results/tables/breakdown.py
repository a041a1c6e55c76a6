"""Tables of a benchmark's parts: POPE by category, SEED-Bench by type of question, EXAMS-V by subject."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ndino.common.markdown import percent
from ndino.results.table_data import Cell, Column, ReportTable, Summary, percent_interval


def part_tables(summary: Summary, tasks: Iterable[str]) -> list[ReportTable]:
    """Parts of a benchmark by models, a table for each of these tasks and each kind of part that it has."""
    tables = []
    for task in tasks:
        entries = {name: each[task] for name, each in summary["models"].items() if task in each}
        for kind in dict.fromkeys(kind for entry in entries.values() for kind in entry["parts"]):
            tables.append(_part_table(task, kind, {n: e for n, e in entries.items() if kind in e["parts"]}))
    return tables


def _part_table(task: str, kind: str, entries: Mapping[str, Mapping[str, Any]]) -> ReportTable:
    parts = list(dict.fromkeys(part for entry in entries.values() for part in entry["parts"][kind]))
    rows = []
    for part in parts:
        found = [entry["parts"][kind].get(part) for entry in entries.values()]
        count = next(each["n"] for each in found if each is not None)
        cells = (_part_cell(e, each) for e, each in zip(entries.values(), found, strict=True))
        rows.append((f"{part} (n = {count})", tuple(cells)))
    legend = (
        "The score of each part of the benchmark in percent, its 95 % confidence interval, and the gain over "
        "the shuffled control in points. Nothing here is tested; with few questions, parts differ by chance.",
    )
    title = f"{task.upper()} by {kind.replace('_', ' ')}"
    return ReportTable(f"{task}-{kind}", title, "Part", tuple(map(Column, entries)), tuple(rows), legend)


def _part_cell(entry: Mapping[str, Any], part: Mapping[str, Any] | None) -> Cell | None:
    if part is None:
        return None
    details = [percent_interval(part["interval"])]
    if part["right_minus_shuffled"] is not None:
        details.append(f"{percent(part['right_minus_shuffled'], signed=True)} over shuffled")
    return Cell(percent(part["score"]), tuple(details))
