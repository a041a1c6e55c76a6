"""The paper's Tables 1, 2 and 4 from the manifests of data folders.

Our copy of the paper lacks the bodies of these tables: the columns follow their captions, and the numbers are
counted here. The manifest of The Cauldron counts ``task/rows``, ``task/instances`` (question-answer pairs)
and ``task/translated``, that of the benchmarks ``name/original`` and ``name/translated``, and those of the
native sets ``name/train`` and ``name/test``.
"""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ndino.common.files import write_text
from ndino.common.options import need_folder
from ndino.data.errors import DataError
from ndino.data.framework.folders import read_manifest
from ndino.data.framework.layout import MANIFEST

FORMATS = ("md", "csv", "tex")
NATIVE = ("mtvqa", "exams-v")


@dataclass(frozen=True)
class PaperTable:
    """A table of text and whole numbers; ``name`` is the name of its files without the suffix."""

    name: str
    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str | int, ...], ...]


def add_command(subparsers: argparse._SubParsersAction) -> None:
    command = subparsers.add_parser(
        "tables",
        help="the paper's Tables 1, 2 and 4 from the manifests",
        description="Print the paper's Table 1 (The Cauldron by task), 2 (native sets) and 4 (benchmarks) "
        "with the counts in the manifests of data folders; a table without a folder is left out.",
        examples=["ndino data tables data/cauldron data/mtvqa data/exams-v data/benchmarks --out tables"],
    )
    command.add_argument(
        "folders", nargs="+", type=Path, metavar="FOLDER", help="data folders, each with manifest.json"
    )
    command.add_argument(
        "--out", type=Path, metavar="FOLDER", help="also write the tables here, as Markdown, CSV and LaTeX"
    )
    command.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    tables = data_tables(args.folders)
    print("\n".join(markdown(table) for table in tables))
    if args.out:
        for table in tables:
            for suffix, render in zip(FORMATS, (markdown, as_csv, latex), strict=True):
                write_text(args.out / f"{table.name}.{suffix}", render(table))
    return 0


def data_tables(folders: Iterable[Path]) -> list[PaperTable]:
    """Those of Tables 1, 2 and 4 that the merged data folders have rows for.

    Raises:
        UsageError: there is no such folder.
        DataError: a folder has no manifest or a broken one, or there are no rows for any table.
    """
    manifests = [_manifest(Path(folder)) for folder in folders]
    tables = (_table_1(manifests), _table_2(manifests), _table_4(manifests))
    if not any(table.rows for table in tables):
        raise DataError("no folder holds The Cauldron, a native set or benchmarks (remedy: give one)")
    return [table for table in tables if table.rows]


def _manifest(folder: Path) -> dict[str, Any]:
    need_folder(folder, "give finished data folders")
    manifest = read_manifest(folder)
    if manifest is None:
        raise DataError(f"{folder}: no {MANIFEST} (remedy: give finished data folders)")
    counts = manifest.setdefault("counts", {})  # a mix has no counts of its own
    counted = isinstance(counts, dict) and all(isinstance(count, int) for count in counts.values())
    if not (counted and {"source", "lang"} <= manifest.keys()):
        raise DataError(
            f"{folder / MANIFEST}: no usable source, lang or counts (remedy: give folders of ndino data)"
        )
    return manifest


def _counts(manifests: Iterable[dict[str, Any]], sources: Sequence[str]) -> dict[str, dict[str, int]]:
    """The counts of each task, summed over the manifests of ``sources``."""
    found: dict[str, dict[str, int]] = {}
    for manifest in manifests:
        if manifest["source"] in sources:
            for key, count in manifest["counts"].items():
                task, _, what = key.rpartition("/")
                counts = found.setdefault(task, {})
                counts[what] = counts.get(what, 0) + count
    return dict(sorted(found.items()))


def _table_1(manifests: list[dict[str, Any]]) -> PaperTable:
    rows: list[tuple[Any, ...]] = [
        (task, counts.get("rows", 0), counts.get("instances", 0), counts.get("translated", 0))
        for task, counts in _counts(manifests, ("cauldron",)).items()
    ]
    if rows:
        rows.append(("Total", *(sum(column) for column in list(zip(*rows, strict=True))[1:])))
    return PaperTable(
        "table-1",
        "Table 1: The Cauldron, by task",
        ("Dataset", "# Rows", "# Instances", "# Train Translated"),
        tuple(rows),
    )


def _table_2(manifests: list[dict[str, Any]]) -> PaperTable:
    rows = tuple(
        (name, counts.get("train", 0), counts.get("test", 0))
        for name, counts in _counts(manifests, NATIVE).items()
    )
    return PaperTable(
        "table-2", "Table 2: sets natively in the language", ("Dataset", "# Train", "# Test"), rows
    )


def _table_4(manifests: list[dict[str, Any]]) -> PaperTable:
    rows = [
        (name, counts.get("original", 0), counts.get("translated", 0))
        for name, counts in _counts(manifests, ("benchmarks",)).items()
    ]
    # As in the paper: others translated GQA-it, so it only has an original count.
    gqa = _counts(manifests, ("gqa-it",))
    rows += [(name, counts.get("test", 0), "") for name, counts in gqa.items()]
    languages = sorted({manifest["lang"] for manifest in manifests if manifest["source"] == "benchmarks"})
    translated = f"# {'/'.join(languages).upper() or 'IT'} MT"
    return PaperTable("table-4", "Table 4: benchmarks", ("Dataset", "# Original", translated), tuple(rows))


def markdown(table: PaperTable) -> str:
    """The table as Markdown, with its title."""
    lines = [f"**{table.title}**", "", _pipes(table.header)]
    lines.append(_pipes(["---", *(["---:"] * (len(table.header) - 1))]))
    lines += [_pipes([_thousands(cell) for cell in row]) for row in table.rows]
    return "\n".join(lines) + "\n"


def as_csv(table: PaperTable) -> str:
    """The table as CSV, without its title."""
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([table.header, *table.rows])
    return file.getvalue()


def latex(table: PaperTable) -> str:
    """The table as a LaTeX ``table`` with booktabs' rules."""
    columns = "l" + "r" * (len(table.header) - 1)
    body = "\n".join(_ampersands([_thousands(cell) for cell in row]) for row in table.rows)
    return (
        "\\begin{table}\n\\centering\n"
        f"\\begin{{tabular}}{{{columns}}}\n\\toprule\n{_ampersands(table.header)}\n\\midrule\n{body}\n"
        f"\\bottomrule\n\\end{{tabular}}\n\\caption{{{_escaped(table.title)}}}\n\\end{{table}}\n"
    )


def _thousands(cell: str | int) -> str:
    return f"{cell:,}" if isinstance(cell, int) else cell


def _pipes(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _ampersands(cells: Sequence[str]) -> str:
    return f"{' & '.join(map(_escaped, cells))} \\\\"


def _escaped(text: str) -> str:
    return "".join(f"\\{character}" if character in "&%$#_{}" else character for character in text)
