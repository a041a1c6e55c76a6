"""All tables of a run, in reading order."""

from __future__ import annotations

from ndino.results.table_data import ReportTable, Summary
from ndino.results.tables.breakdown import part_tables
from ndino.results.tables.groups import (
    TaskGroup,
    other_groups,
    perplexity_sets,
    score_groups,
    tasks_in_order,
)
from ndino.results.tables.letters import letter_tables
from ndino.results.tables.pairs import pair_tables
from ndino.results.tables.scores import more_metrics_table, perplexity_table, score_table

COLUMNS = 4  # tasks per table beyond the paper's; more would not fit a page or a terminal


def build_tables(summary: Summary) -> list[ReportTable]:
    """Build all tables that the run has results for, in reading order."""
    others = other_groups(summary)
    tables = [
        *(table for group in score_groups(summary) for table in _of_group(summary, group)),
        perplexity_table(summary),
        *(table for group in others for table in _of_scores(summary, group)),
        *(table for group in others for table in _of_parts(summary, group)),
        *pair_tables(summary, tasks_in_order(summary), perplexity_sets(summary)),
        more_metrics_table(summary),
    ]
    return [table for table in tables if table is not None]


def _of_group(summary: Summary, group: TaskGroup) -> list[ReportTable | None]:
    return [*_of_scores(summary, group), *_of_parts(summary, group)]


def _of_scores(summary: Summary, group: TaskGroup) -> list[ReportTable | None]:
    """A table, or several of a few tasks each."""
    if group.key.startswith("table-"):
        return [score_table(summary, group.key, group.title, group.tasks)]
    chunks = [group.tasks[start : start + COLUMNS] for start in range(0, len(group.tasks), COLUMNS)]
    several = len(chunks) > 1
    return [
        score_table(
            summary,
            f"{group.key}-{part}",
            f"{group.title} ({part} of {len(chunks)})" if several else group.title,
            chunk,
        )
        for part, chunk in enumerate(chunks, start=1)
    ]


def _of_parts(summary: Summary, group: TaskGroup) -> list[ReportTable]:
    return [*part_tables(summary, group.tasks), *letter_tables(summary, group.tasks)]
