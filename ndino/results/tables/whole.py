"""All tables of a run, in reading order."""

from __future__ import annotations

from ndino.results.table_data import ReportTable, Summary
from ndino.results.tables.breakdown import part_tables
from ndino.results.tables.groups import (
    OTHER_TASKS,
    other_tasks,
    paper_tables,
    perplexity_sets,
    tasks_in_order,
)
from ndino.results.tables.pairs import pair_tables
from ndino.results.tables.scores import more_metrics_table, perplexity_table, score_table

COLUMNS = 4  # tasks per table of other tasks; more would not fit a page or a terminal


def build_tables(summary: Summary) -> list[ReportTable]:
    """Build all tables that the run has results for, in reading order."""
    others = other_tasks(summary)
    chunks = [others[start : start + COLUMNS] for start in range(0, len(others), COLUMNS)]
    tables = [
        *(
            table
            for papers in paper_tables(summary)
            for table in (
                score_table(summary, papers.key, papers.title, papers.tasks),
                *part_tables(summary, papers.tasks),
            )
        ),
        perplexity_table(summary),
        *(
            score_table(
                summary,
                f"others-{part}",
                OTHER_TASKS + (f" ({part} of {len(chunks)})" if len(chunks) > 1 else ""),
                chunk,
            )
            for part, chunk in enumerate(chunks, start=1)
        ),
        *part_tables(summary, others),
        *pair_tables(summary, tasks_in_order(summary), perplexity_sets(summary)),
        more_metrics_table(summary),
    ]
    return [table for table in tables if table is not None]
