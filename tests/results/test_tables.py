"""What a reader sees in a cell, and which cells get a verdict or an asterisk."""

from __future__ import annotations

import itertools
import json
from itertools import chain

import pytest

from ndino.common.markdown import percent
from ndino.results.logs import read_run
from ndino.results.render import csv_text, latex, markdown
from ndino.results.summary import build_summary
from ndino.results.table_data import Cell, perplexity_number
from ndino.results.tables import build_tables
from tests.results.synthetic import write_perplexity, write_task
from tests.results.test_summary import own_run


def table(summary, key):
    return next(table for table in build_tables(summary) if table.key == key)


def cell(summary, key, row, column):
    found = table(summary, key)
    index = next(i for i, c in enumerate(found.columns) if c.name.startswith(column))
    return dict(found.rows)[row][index]


def test_a_seeing_cell_shows_score_interval_control_and_gain(summary):
    assert cell(summary, "table-5", "PT+IT", "GQA-IT") == Cell(
        "42.5", ("[28.5, 57.8]", "shuffled 0.0", "+42.5 [24.9, 56.0]"), "sees"
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


def test_the_better_model_of_a_significant_difference_gets_the_asterisk(summary):
    # mtvqa-it: Holm p = .0015; gqa-it: p = .09
    assert cell(summary, "table-6", "PT+IT", "MTVQA-IT").better_than == ("IT",)
    assert cell(summary, "table-6", "PT+IT", "MTVQA-IT").details[-1] == "* better than IT"
    assert not cell(summary, "table-6", "IT", "MTVQA-IT").starred
    assert not cell(summary, "table-5", "PT+IT", "GQA-IT").starred


def test_the_asterisk_needs_the_corrected_p_value(summary):
    row = next(row for row in summary["tests"] if row["task"] == "gqa-it")
    row["p"] = 0.01
    assert not cell(summary, "table-5", "PT+IT", "GQA-IT").starred
    row["p_holm"] = 0.03
    assert cell(summary, "table-5", "PT+IT", "GQA-IT").starred


def test_column_heads_name_metric_n_and_majority(summary):
    assert [column.note for column in table(summary, "table-6").columns] == [
        "exact match, n = 40, majority 25.0"
    ]


@pytest.mark.parametrize(("later", "earlier"), [("IT", "PT+IT"), ("PT+IT", "IT")])
def test_long_answers_say_in_which_language_they_are(small_run, later, earlier):
    shares = {"in_language": 0.6, "in_english": 0.25, "in_other_language": 0.05, "language_undecided": 0.1}
    for model in (later, earlier):
        extra = shares if model == later else None
        write_task(small_run / "eval" / model, "llava-bench-it", [0.5] * 20, metric="chrf", extra=extra)
    path = small_run / "eval" / later / "results.json"
    made = json.loads(path.read_text())
    made["tasks"]["llava-bench-it"]["majority"] |= {"in_language": 1.0}
    path.write_text(json.dumps(made))
    summary = build_summary(read_run(small_run))
    said = "answers: in its language 60.0, English 25.0, other 5.0, undecided 10.0"
    assert said in cell(summary, "translated-1", later, "LLAVA-BENCH-IT").details
    # Results of an earlier version do not have it.
    assert not any(
        "answers" in line for line in cell(summary, "translated-1", earlier, "LLAVA-BENCH-IT").details
    )
    legends = {key: " ".join(table(summary, key).legend) for key in ("translated-1", "table-5")}
    assert ["too little to tell a language by" in legend for legend in legends.values()] == [True, False]


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
    assert cell(summary, "pairs", "GQA-IT", "IT vs PT+IT") == Cell(
        "p = 0.172",
        (
            "no difference shown (±38.2)",
            "uncorrected p = 0.057, 40 questions",
            "paper: p = 0.092, exact",
            "only IT: 3, only PT+IT: 10 of 40",
        ),
    )


@pytest.mark.parametrize("models", range(2, 9))
def test_tests_of_many_pairs_are_listed_below_each_other(tmp_path, models):
    names = ["=first", *(f"own-model-{n}" for n in range(models - 1))]
    run = own_run(tmp_path, names)
    for number, name in enumerate(names):
        write_perplexity(run, name, "mtvqa-it", [2.0 + number // 2 + row % 3 / 10 for row in range(30)])
    pairs = [*itertools.combinations(names, 2)]
    summary = build_summary(read_run(run), pairs=pairs)
    tables = [each for each in build_tables(summary) if each.key.startswith("pairs")]
    text = "\n".join(chain.from_iterable(each.legend for each in tables))
    assert text.count("sign-flip") == text.count("not “equal”") == text.count("as a multiple") == 1
    if models < 4:
        assert [each.key for each in tables] == ["pairs"]
        assert [column.name for column in tables[0].columns] == [f"{a} vs {b}" for a, b in pairs]
        return
    assert [(each.key, each.title) for each in tables] == [
        ("pairs-1", "Do the models of a pair differ? GQA-IT (40 questions)"),
        ("pairs-2", "Do the models of a pair differ? Perplexity of MTVQA-IT (30 answers)"),
    ]
    for each in tables:
        assert [name for name, _ in each.rows] == [f"{a} vs {b}" for a, b in pairs]
        assert len(each.columns) == 6 and sum(len(column.name) for column in each.columns) < 80
        assert max(len(cell.score) for _, cells in each.rows for cell in cells) < 45
        # A line a pair, but where the better score is no evidence.
        assert {cell.details for _, cells in each.rows for cell in cells} <= {(), ("but not above majority",)}
    scores, perplexities = (dict(each.rows) for each in tables)
    first = scores["=first vs own-model-1"]
    shown = ["own-model-1", "< 0.001", "< 0.001, exact", "0 of 40", "16 of 40"]
    assert [cell.score for cell in first[1:]] == shown and first[0].better_than == ("=first",)
    same = perplexities["=first vs own-model-0"]
    assert [cell.score for cell in same[:4]] == ["1.000", "none shown", "1.00 [1.00, 1.00]", "1.000"]
    assert perplexities["=first vs own-model-1"][1].score == "=first"
    page = markdown("", [], tables)
    assert page.count("\n| =first vs ") == 2 * (models - 1) and " | **'=first** |" not in page
    assert ",'=first," in csv_text(tables) and ",=first" not in csv_text(tables)
    assert latex(tables).count("\\begin{tabular}{lrrrrrr}") == 2


def test_further_tasks_are_split_into_tables_that_fit(family_run):
    summary = build_summary(read_run(family_run))
    keys = [table.key for table in build_tables(summary)]
    assert keys == ["table-5", "table-6", "table-7", "others-1", "pairs", "more"]
    for name in list(summary["models"]["IT"]):
        for entries in summary["models"].values():
            entries[f"z-{name}"] = {**entries[name], "origin": None}
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


def test_a_metric_that_counts_is_no_share(summary):
    entry = summary["models"]["IT"]["gqa-it"]
    entry["intervals"] |= {"words": [7.25, 12.5]}
    shown = {}
    for words in (9.5, 0.5):
        entry["words"] = words
        shown[words] = next(filter(None, dict(table(summary, "more").rows)["GQA-IT words"]))
    assert (shown[9.5].score, shown[9.5].details) == ("9.50", ("[7.25, 12.50]",))
    assert shown[0.5].score == "0.50"


def test_a_model_that_was_not_evaluated_on_a_task_has_a_dash(small_run):
    write_task(small_run / "eval" / "IT", "count-it", [1, 0])
    summary = build_summary(read_run(small_run))
    assert dict(table(summary, "others-1").rows) == {"IT": (Cell("50.0", ("[9.5, 90.5]",), "no control"),)}
    assert "count-it" not in summary["models"]["PT+IT"]


@pytest.mark.parametrize("value, text", [(0.4251, "42.5"), (-0.0001, "0.0"), (-0.1, "−10.0"), (1, "100.0")])
def test_percent(value, text):
    assert percent(value) == text


@pytest.mark.parametrize(
    "value, text", [(1.044, "1.04"), (99.994, "99.99"), (4321.5, "4,322"), (5.2e6, "5.2e+06")]
)
def test_perplexity_number(value, text):
    assert perplexity_number(value) == text
