"""Tables of multiple choice: how often each letter is answered, against how often it is right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ndino.common.markdown import percent
from ndino.results.statistics import ALPHA
from ndino.results.table_data import Cell, Column, ReportTable, Summary, p_number, percent_interval


def letter_tables(summary: Summary, tasks: Iterable[str]) -> list[ReportTable]:
    """Letters by models, a table for each of these tasks that is multiple choice."""
    tables = []
    for task in tasks:
        found = {
            name: entries[task]["letters"]
            for name, entries in summary["models"].items()
            if task in entries and entries[task]["letters"]
        }
        if found:
            tables.append(_letter_table(task, found))
    return tables


def _letter_table(task: str, found: Mapping[str, Mapping[str, Any]]) -> ReportTable:
    letters = sorted({letter for bias in found.values() for letter in bias["letters"]})
    rows = [
        (letter, tuple(_cell(bias["letters"].get(letter), bias["read"]) for bias in found.values()))
        for letter in letters
    ]
    rows.append(("no letter", tuple(map(_unreadable, found.values()))))
    legend = (
        "How much more often a letter was answered than it was right, in points of the answers that name a "
        "letter, with its 95 % confidence interval; below it both shares. A model without a bias for a "
        "position has 0 everywhere, however many answers are right. more, less: a sign-flip test over images "
        f"(over questions where these are not known) shows it, with p < {ALPHA} after Holm's correction over "
        "the letters and models of this table. no letter: answers in which no single option can be read; "
        "they are in no other line.",
    )
    columns = tuple(map(Column, found))
    title = f"{task.upper()}: letters answered and right"
    return ReportTable(f"{task}-letters", title, "Letter", columns, tuple(rows), legend)


def _cell(letter: Mapping[str, Any] | None, read: int) -> Cell | None:
    if letter is None:
        return None
    shares = ", ".join(f"{kind} {percent(letter[kind] / read)}" for kind in ("answered", "right"))
    details = [percent_interval(letter["interval"]), shares]
    shown = letter["p_holm"] < ALPHA
    if shown:
        details.append(f"{'more' if letter['difference'] > 0 else 'less'}: {p_number(letter['p_holm'])}")
    return Cell(percent(letter["difference"], signed=True), tuple(details), strong=shown)


def _unreadable(bias: Mapping[str, Any]) -> Cell:
    whole = bias["read"] + bias["unreadable"]
    return Cell(f"{bias['unreadable']:,} of {whole:,}", strong=False)
