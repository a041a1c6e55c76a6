"""What a reader sees in a cell, and that the verdicts and asterisks stand where the figures put them."""

from __future__ import annotations

import csv
import io
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from ndino.results.logs import read_run
from ndino.results.render import csv_text, latex, markdown, print_tables
from ndino.results.summary import build_summary
from ndino.results.tables import (
    Cell,
    Column,
    Table,
    build_tables,
    findings,
    percent,
    perplexity_number,
)
from tests.results.synthetic import write_task


@pytest.fixture
def summary(small_run):
    return build_summary(read_run(small_run))


def table(summary, key):
    return next(table for table in build_tables(summary) if table.key == key)


def cell(summary, key, row, column):
    found = table(summary, key)
    index = next(i for i, c in enumerate(found.columns) if c.name.startswith(column))
    return dict(found.rows)[row][index]


def test_a_seeing_cell_shows_score_interval_control_and_gain(summary):
    assert cell(summary, "table-5", "PT+IT", "GQA-IT") == Cell(
        "42.5", ("[28.5, 57.8]", "shuffled 0.0", "+42.5 [24.9, 56.0]"), "sees", False
    )


def test_a_score_that_wrong_images_give_too_is_blind(summary):
    blind = cell(summary, "table-5", "IT", "GQA-IT")
    assert (blind.score, blind.verdict, blind.details[2][:5]) == ("25.0", "blind", "+0.0 ")


def test_a_score_that_wrong_images_raise_is_blind(small_run):
    write_task(small_run / "eval" / "IT", "count-it", [0] * 30 + [1] * 10, [1] * 40)
    summary = build_summary(read_run(small_run))
    worse = cell(summary, "others-1", "IT", "COUNT-IT")
    assert (worse.verdict, worse.details[2][:5]) == ("blind", "−75.0")


def test_a_score_without_control_says_so(summary):
    assert cell(summary, "table-5", "PT+IT", "OK-VQA-IT").verdict == "no control"


def test_the_asterisk_stands_at_the_better_model_of_a_corrected_difference(summary):
    # mtvqa-it: Holm p = .0015; gqa-it: p = .09
    assert cell(summary, "table-6", "PT+IT", "MTVQA-IT").starred
    assert not cell(summary, "table-6", "IT", "MTVQA-IT").starred
    assert not cell(summary, "table-5", "PT+IT", "GQA-IT").starred


def test_the_asterisk_needs_the_corrected_p_value(summary):
    row = next(row for row in summary["mcnemar"] if row["task"] == "gqa-it")
    row["p"] = 0.01
    assert not cell(summary, "table-5", "PT+IT", "GQA-IT").starred
    row["p_holm"] = 0.03
    assert cell(summary, "table-5", "PT+IT", "GQA-IT").starred


def test_column_heads_name_metric_n_and_majority(summary):
    assert [column.note for column in table(summary, "table-6").columns] == [
        "exact match, n = 40, majority 25.0"
    ]


def test_tasks_that_were_not_run_are_named(summary):
    assert table(summary, "table-5").legend[-1] == "Not run: SEEDBENCH-IT, POPE-IT."


def test_perplexity_is_a_diamond_when_every_answer_is_an_outlier(summary):
    assert cell(summary, "table-7", "IT", "LLAVA-BENCH-IT").score == "⋄"
    assert cell(summary, "table-7", "IT", "LLAVA-BENCH-IT").details[1:] == (
        "3 of 3 outliers",
        "shuffled 9,000",
    )
    assert cell(summary, "table-7", "PT+IT", "LLAVA-BENCH-IT").score == "5.00"


def test_answers_that_could_not_be_scored_are_counted(small_run):
    path = small_run / "ppl" / "IT" / "llava-bench-it.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"skipped": 2}))
    summary = build_summary(read_run(small_run))
    assert cell(summary, "table-7", "IT", "LLAVA-BENCH-IT").details[1] == "3 of 3 outliers, 2 skipped"


def test_pairs_show_both_p_values_and_the_discordant_counts(summary):
    assert cell(summary, "pairs", "GQA-IT", "IT or PT+IT") == Cell(
        "p = 0.185", ("only IT: 3, only PT+IT: 10 of 40", "uncorrected p = 0.092, exact"), "", False
    )


def test_further_tasks_are_split_into_tables_that_fit(family_run):
    summary = build_summary(read_run(family_run))
    keys = [table.key for table in build_tables(summary)]
    assert keys == ["table-5", "table-6", "table-7", "others-1", "pairs", "more"]
    for name in list(summary["models"]["IT"]):
        for entries in summary["models"].values():
            entries[f"z-{name}"] = entries[name]
    keys = [table.key for table in build_tables(summary)]
    assert keys[3:6] == ["others-1", "others-2", "others-3"]


def test_other_metrics_have_a_table(family_run):
    summary = build_summary(read_run(family_run))
    rows = dict(table(summary, "more").rows)
    assert set(rows) == {
        "POPE-IT pope f1 score",
        "POPE-IT pope precision",
        "POPE-IT pope recall",
        "POPE-IT pope yes ratio",
    }
    assert all(c.details for c in rows["POPE-IT pope f1 score"])


def test_findings_tell_what_was_learned(summary):
    assert findings(summary) == [
        "2 of 5 scores need the image; for the other 3 nothing shows that the model looks at it (blind).",
        "The image helps most for PT+IT on GQA-IT: +42.5 points over shuffled images.",
        "PT+IT against IT: better on MTVQA-IT of 3 tasks.",
        "Least surprised by the answers of LLAVA-BENCH-IT: PT+IT (corpus perplexity 31.75).",
    ]


def test_findings_name_losses_too(summary):
    for row in summary["mcnemar"]:
        row["p_holm"] = 0.01 if row["task"] == "gqa-it" else 1.0
    summary["models"]["IT"]["gqa-it"]["exact_match"] = 0.9
    assert "PT+IT against IT: worse on GQA-IT of 3 tasks." in findings(summary)


def test_a_model_that_was_not_asked_has_a_dash(small_run):
    write_task(small_run / "eval" / "IT", "count-it", [1, 0])
    summary = build_summary(read_run(small_run))
    assert dict(table(summary, "others-1").rows) == {"IT": (Cell("50.0", ("[9.5, 90.5]",), "no control"),)}
    assert "count-it" not in summary["models"]["PT+IT"]


def test_markdown_holds_every_table_in_rows_of_equal_width(summary):
    text = markdown("A | title", findings(summary), build_tables(summary))
    assert text.startswith("# A \\| title\n\n- 2 of 5 scores")
    for block in text.split("## ")[1:]:
        rows = [line.replace("\\|", "") for line in block.splitlines() if line.startswith("|")]
        assert len({row.count("|") for row in rows}) == 1
        assert len(rows) >= 3
    assert "**42.5** sees<br>\\[28.5, 57.8\\]<br>shuffled 0.0<br>+42.5 \\[24.9, 56.0\\]" in text
    assert "**30.0** \\* sees" in text


def test_markdown_cannot_be_broken_by_a_name(summary):
    summary["models"]["a|b<script>*_`\n"] = summary["models"].pop("IT")
    summary["mcnemar"] = []
    text = markdown("t", [], build_tables(summary))
    assert "| a\\|b&lt;script&gt;\\*\\_\\` |" in text
    assert "<script>" not in text


def test_a_spreadsheet_holds_every_cell_and_no_formula(summary):
    summary["models"]["=1+1"] = summary["models"].pop("IT")
    summary["mcnemar"] = []
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
    cell = Cell("42.5", (name, "−3.5"), starred=True)
    text = latex([Table("key", name, name, (Column(name),), ((name, (cell,)), (name, (None,))), ())])
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
    assert shown.count("A cell reads from top to bottom") == 1
    assert max(map(len, shown.splitlines())) <= 100


@pytest.mark.parametrize("value, text", [(0.4251, "42.5"), (-0.0001, "0.0"), (-0.1, "−10.0"), (1, "100.0")])
def test_percent(value, text):
    assert percent(value) == text


@pytest.mark.parametrize(
    "value, text", [(1.044, "1.04"), (99.994, "99.99"), (4321.5, "4,322"), (5.2e6, "5.2e+06")]
)
def test_perplexity_number(value, text):
    assert perplexity_number(value) == text
