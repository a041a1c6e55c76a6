"""Render tables as Markdown, CSV, LaTeX and terminal text (the HTML page has its own template)."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Sequence

from rich import box
from rich.console import Console, Group
from rich.table import Table as RichTable
from rich.text import Text

from ndino.common.markdown import table as markdown_table
from ndino.results.table_data import Cell, Column, ReportTable

# Browsers do not show control characters, and a raw one could truncate the page (NUL) or hide text.
CONTROLS = {
    code: "\N{REPLACEMENT CHARACTER}" for code in (*range(32), *range(127, 160)) if code not in (9, 10)
}
VERDICT_STYLES = {"sees": "green", "blind": "yellow", "no control": "dim", "": ""}


def _escape(text: str) -> str:
    """Escape a text for a Markdown cell. Names come from folders and logs and may hold any character."""
    text = html.escape(" ".join(text.split()), quote=False)
    for mark in "\\`*_[]|":
        text = text.replace(mark, f"\\{mark}")
    return text


def _markdown_cell(cell: Cell | None) -> str:
    if cell is None:
        return "–"
    number = f"**{_escape(cell.score)}**" if cell.strong else _escape(cell.score)
    head = number + (" \\*" if cell.starred else "") + f" {cell.verdict}".rstrip()
    return "<br>".join([head, *map(_escape, cell.details)])


def _markdown_column(column: Column) -> str:
    return "<br>".join(_escape(line) for line in (column.name, column.note) if line)


def markdown(title: str, findings: Sequence[str], tables: Sequence[ReportTable]) -> str:
    """Render all tables as one GitHub-flavoured Markdown document."""
    lines = [f"# {_escape(title)}", "", *(f"- {_escape(sentence)}" for sentence in findings), ""]
    for table in tables:
        header = [_escape(table.corner), *map(_markdown_column, table.columns)]
        rows = [[_escape(name), *map(_markdown_cell, cells)] for name, cells in table.rows]
        lines += [f"## {_escape(table.title)}", "", *markdown_table(header, rows)]
        lines += ["", *(f"- {_escape(line)}" for line in table.legend), ""]
    return "\n".join(lines)


def csv_text(tables: Sequence[ReportTable]) -> str:
    """Render all tables for a spreadsheet: one line per cell, numbers without thousands separators."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["table", "row", "column", "value", "starred", "verdict", "details"])
    for table in tables:
        for name, cells in table.rows:
            for column, cell in zip(table.columns, cells, strict=True):
                if cell is not None:
                    value = _inert(cell.score.replace(",", "").replace("−", "-"))
                    notes = [cell.verdict, _inert("; ".join(cell.details))]
                    where = [table.key, _inert(name), _inert(column.name)]
                    writer.writerow([*where, value, "*" * cell.starred, *notes])
    return file.getvalue()


def _inert(text: str) -> str:
    """Quote a text that a spreadsheet would run as a formula; a model can have any folder's name."""
    if text[:1] not in ("=", "+", "-", "@", "\t", "\r") or re.fullmatch(r"[+-]\d+(\.\d+)?", text):
        return text
    return f"'{text}"


_LATEX = {
    **{mark: f"\\{mark}" for mark in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "−": "$-$", "…": r"\ldots{}"},
    "[": "{[}",  # after a line break, a bare bracket would start an optional argument
    **{"⋄": r"$\diamond$", "↑": r"$\uparrow$", "↓": r"$\downarrow$"},
}


def _latex_text(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in " ".join(text.split()))


def _latex_cell(cell: Cell | None) -> str:
    if cell is None:
        return "--"
    lines = [_latex_text(cell.score) + "$^{*}$" * cell.starred]
    lines += [rf"{{\scriptsize {_latex_text(detail)}}}" for detail in cell.details]
    return r"\shortstack{" + r" \\ ".join(lines) + "}" if cell.details else lines[0]


def latex(tables: Sequence[ReportTable]) -> str:
    """Render all tables as LaTeX floats with booktabs rules."""
    blocks = [r"% Needs \usepackage{booktabs}; with pdfLaTeX also \usepackage[utf8]{inputenc}."]
    for table in tables:
        heads = [_latex_text(table.corner), *(_latex_text(column.name) for column in table.columns)]
        rows = [[_latex_text(name), *map(_latex_cell, cells)] for name, cells in table.rows]
        blocks += [
            r"\begin{table}",
            r"\centering",
            rf"\begin{{tabular}}{{l{'r' * len(table.columns)}}}",
            r"\toprule",
            f"{' & '.join(heads)} " + r"\\",
            r"\midrule",
            *(f"{' & '.join(row)} " + r"\\" for row in rows),
            r"\bottomrule",
            r"\end{tabular}",
            rf"\caption{{{_latex_text(table.title)}}}",
            rf"\label{{tab:{table.key}}}",
            r"\end{table}",
            "",
        ]
    return "\n".join(blocks)


def _terminal_cell(cell: Cell | None) -> Text:
    if cell is None:
        return Text("–")
    text = Text(f"{cell.score}{' *' if cell.starred else ''}", style="bold" if cell.strong else "")
    if cell.verdict:
        text.append(f" {cell.verdict}", style=f"not bold {VERDICT_STYLES[cell.verdict]}")
    for detail in cell.details:
        text.append(f"\n{detail}", style="not bold")
    return text


def terminal(tables: Sequence[ReportTable]) -> Group:
    """Render all tables for a rich console. A legend equal to the previous table's is not repeated."""
    blocks: list[RichTable | Text] = []
    last: tuple[str, ...] = ()
    for table in tables:
        grid = RichTable(title=table.title, title_justify="left", box=box.SIMPLE_HEAD, show_lines=True)
        grid.add_column(Text(table.corner))
        for column in table.columns:
            grid.add_column(Text(f"{column.name}\n{column.note}".rstrip()))
        for name, cells in table.rows:
            grid.add_row(Text(name), *map(_terminal_cell, cells))
        blocks.append(grid)
        blocks += [Text(line, style="dim") for line in table.legend if line not in last]
        blocks.append(Text())
        last = table.legend
    return Group(*blocks)


def print_tables(tables: Sequence[ReportTable], console: Console | None = None) -> None:
    (console or Console()).print(terminal(tables))
