"""Tables as Markdown, CSV, LaTeX and terminal text hold every cell, whatever a model is called."""

from __future__ import annotations

import csv
import io
import re

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from ndino.results.render import csv_text, latex, markdown, print_tables
from ndino.results.table_data import Cell, Column, ReportTable
from ndino.results.tables import build_tables


def table(summary, key):
    return next(table for table in build_tables(summary) if table.key == key)


def test_markdown_holds_every_table_in_rows_of_equal_width(summary):
    text = markdown("A | title", ["One finding."], build_tables(summary))
    assert text.startswith("# A \\| title\n\n- One finding.")
    for block in text.split("## ")[1:]:
        rows = [line.replace("\\|", "") for line in block.splitlines() if line.startswith("|")]
        assert len({row.count("|") for row in rows}) == 1
        assert len(rows) >= 3
    assert "**42.5** sees<br>\\[28.5, 57.8\\]<br>shuffled 0.0<br>+42.5 \\[24.9, 56.0\\]" in text
    assert "**30.0** \\* sees" in text


def test_markdown_cannot_be_broken_by_a_name(summary):
    summary["models"]["a|b<script>*_`\n"] = summary["models"].pop("IT")
    summary["tests"] = []
    text = markdown("t", [], build_tables(summary))
    assert "| a\\|b&lt;script&gt;\\*\\_\\` |" in text
    assert "<script>" not in text


def test_a_spreadsheet_holds_every_cell_and_no_formula(summary):
    summary["models"]["=1+1"] = summary["models"].pop("IT")
    summary["tests"] = []
    lines = list(csv.reader(io.StringIO(csv_text(build_tables(summary)))))
    assert lines[0] == ["table", "row", "column", "value", "starred", "verdict", "details"]
    found = {(line[0], line[1], line[2]): line[3:] for line in lines[1:]}
    cells = sum(c is not None for t in build_tables(summary) for _, row in t.rows for c in row)
    assert len(found) == len(lines) - 1 == cells
    assert found["table-5", "PT+IT", "GQA-IT ↑"][:3] == ["42.5", "", "sees"]
    assert found["table-5", "'=1+1", "GQA-IT ↑"][0] == "25.0"
    assert found["table-7", "IT", "LLAVA-BENCH-IT ↓"][0] == "⋄"
    assert not [line for line in lines if any(text.startswith(("=", "+", "@")) for text in line)]


@given(name=st.text(max_size=20))
def test_latex_cannot_be_broken_by_a_name(name):
    cell = Cell("42.5", (name, "−3.5"), better_than=("other",))
    text = latex([ReportTable("key", name, name, (Column(name),), ((name, (cell,)), (name, (None,))), ())])
    bare = re.sub(r"\\[\\{}&%$#_]", "", text)
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    assert not {"%", "#", "~", "^"} & set(bare.partition("\n")[2].replace("$^{*}$", ""))
    body = text.split("\\midrule\n")[1].split("\n\\bottomrule")[0]
    assert [len(re.findall(r"(?<!\\)&", line)) for line in body.splitlines()] == [1, 1]


def test_latex_reads_as_the_papers_table(summary):
    text = latex([table(summary, "table-6"), table(summary, "table-7")])
    assert r"Model & MTVQA-IT $\uparrow$ \\" in text
    assert r"PT+IT & \shortstack{30.0$^{*}$ \\ {\scriptsize {[}18.1, 45.4]}" in text
    assert r"$\diamond$" in text


def test_the_terminal_shows_scores_and_each_legend_once(summary):
    out = io.StringIO()
    print_tables(build_tables(summary), Console(file=out, width=100))
    shown = out.getvalue()
    assert "42.5 sees" in shown
    assert "30.0 * sees" in shown
    assert shown.count("Each cell: the score in percent") == 1
    assert max(map(len, shown.splitlines())) <= 100
