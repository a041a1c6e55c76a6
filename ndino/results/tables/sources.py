"""Tables of what is no result: the data that models learned from, and what these show of the benchmarks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ndino.common.markdown import percent
from ndino.results.table_data import Cell, Column, ReportTable


def data_tables(folders: Sequence[Path]) -> list[ReportTable]:
    """Build those of the paper's Tables 1, 2 and 4 that the manifests of these data folders can fill.

    Raises:
        DataError: a folder has no manifest, or a broken one.
    """
    if not folders:
        return []
    from ndino.data.commands import tables  # imported late: most reports need no data package

    legend = ("Counts from the manifests that were written when the data sets were built.",)
    return [
        ReportTable(
            table.name,
            table.title,
            table.header[0],
            tuple(map(Column, table.header[1:])),
            tuple((str(row[0]), tuple(map(_count_cell, row[1:]))) for row in table.rows),
            legend,
        )
        for table in tables.data_tables(folders)
    ]


def leaks_table(files: Sequence[Path]) -> list[ReportTable]:
    """How much of each benchmark the training data show, from files of ``ndino data leaks``; none without.

    Raises:
        UsageError, DataError: see `seen_benchmarks`.
    """
    if not files:
        return []
    # Imported late: most reports need no data package.
    from ndino.data.leaks.seen import SeenBenchmark, seen_benchmarks

    def share(seen: int, whole: int) -> Cell | None:
        return Cell(f"{seen:,} of {whole:,} ({percent(seen / whole)} %)") if whole else None

    def cells(found: SeenBenchmark) -> tuple[Cell | None, ...]:
        if not found.images:  # 0 would say that they were looked for
            return (Cell(found.data), Cell("–, no images to compare"), *[Cell("–")] * 4)
        return (
            Cell(found.data),
            share(found.seen, found.images),
            Cell(f"{found.exact:,}"),
            Cell(f"{found.near:,}"),
            share(found.questions_seen, found.questions),
            Cell(f"{found.possible:,}"),
        )

    rows = tuple((found.name, cells(found)) for found in seen_benchmarks(files))
    names = ("training data", "images seen", "exact", "near", "questions about them", "possible, not counted")
    columns = tuple(map(Column, names))
    legend = (
        "Images of the benchmarks that the training data show: exact (equal pixels) and near (nearly equal). "
        "Those that may be the same are not counted as seen: `ndino data leaks`, docs/data.md.",
    )
    return [
        ReportTable(
            "leaks", "What the training data show of each benchmark", "benchmark", columns, rows, legend
        )
    ]


def _count_cell(value: str | int) -> Cell | None:
    return Cell(f"{value:,}" if isinstance(value, int) else value) if value != "" else None
