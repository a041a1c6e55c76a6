"""The end of a run in a terminal: one line a model, nothing wrapped, marks where the figures put them."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from ndino.results.logs import read_run
from ndino.results.summary import build_summary
from ndino.results.tables import build_tables
from ndino.results.terminal_summary import print_summary
from tests.results.synthetic import FAMILY, write_task


def shown(summary: dict, width: int = 100, **options: bool) -> str:
    out = io.StringIO()
    print_summary(summary, Console(file=out, width=width, **options))
    return out.getvalue()


def lines(text: str, start: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines() if line.split()[:1] == [start]]


def test_a_cell_is_the_score_and_what_the_image_adds(summary):
    table_5, table_6, table_7 = lines(shown(summary), "PT+IT")
    # Without a control there is no gain to show.
    assert table_5 == ["PT+IT", "42.5", "(+42.5)", "61.7"]
    assert table_6 == ["PT+IT", "30.0", "(+30.0)*"]
    assert table_7 == ["PT+IT", "5.00", "/", "31.75"]


def test_what_wrong_images_give_too_is_marked_and_dimmed(summary):
    assert lines(shown(summary), "IT")[0][:3] == ["IT", "25.0", "(+0.0)·"]
    coloured = shown(summary, force_terminal=True, color_system="standard")
    assert "\x1b[2m 25.0 (+0.0)·" in coloured
    assert "\x1b[2m 42.5" not in coloured


def test_a_share_in_the_language_has_a_gain_only_with_a_control(tmp_path):
    for model, wrong in (("IT", None), ("PT", [0.0, 0.0])):
        folder = tmp_path / "eval" / model
        write_task(folder, "m-wildvision-it", [1.0, 0.0], wrong, metric="in_language")
    text = shown(build_summary(read_run(tmp_path)))
    assert lines(text, "IT") == [["IT", "50.0"]]
    assert lines(text, "PT") == [["PT", "50.0", "(+50.0)"]]


def test_perplexity_is_a_diamond_when_every_answer_is_an_outlier(summary):
    assert lines(shown(summary), "IT")[2] == ["IT", "⋄", "/", "3,107"]


def test_heads_say_n_and_the_last_row_the_majority(summary):
    text = shown(summary)
    assert "n = 40" in text and "n = 6" in text and "n = 3" in text
    assert lines(text, "majority") == [["majority", "25.0", "25.0"], ["majority", "25.0"]]


def test_one_legend_is_printed_below_all_tables(summary):
    text = shown(summary, width=1000)
    assert text.count("86.2 (+66.2): score in percent") == 1
    assert text.rstrip().splitlines()[-1].startswith("86.2 (+66.2)")
    assert (
        "*: significantly better" in text
        and "over all 4 tests, 1 of them of perplexities): MTVQA-IT (PT+IT>IT)." in text
    )
    assert "5.00 / 31.75: perplexity" in text
    bare = shown(summary | {"tests": [], "perplexity": {}}, width=1000)
    assert "*: significantly better" not in bare and "perplexity" not in bare


def test_the_number_of_tests_is_that_of_the_correction(summary):
    """Three tests of scores and one of perplexity are one family of four, see test_summary.py."""
    (best,) = [row for row in summary["tests"] if row["task"] == "mtvqa-it"]
    assert best["p_holm"] == pytest.approx(4 * best["p"], rel=1e-4)
    number = "over all 4 tests, 1 of them of perplexities"
    assert f"corrected {number}): MTVQA-IT" in shown(summary, width=1000)
    legends = {table.key: " ".join(table.legend) for table in build_tables(summary)}
    assert f"Holm's correction {number}" in legends["table-5"]
    assert f"Holm-corrected {number};" in legends["pairs"]
    without = summary | {"perplexity_tests": [], "tests": [best]}
    assert "corrected over 1 test): MTVQA-IT" in shown(without, width=1000)


@pytest.mark.parametrize("width", [60, 80, 100])
def test_the_family_fits_without_a_wrapped_line(family_run, width):
    # Without the note on the tested pairs, of which a line may begin with a model's name.
    summary = build_summary(read_run(family_run))
    summary["notes"] = []
    for entries in summary["models"].values():
        entries |= {f"other-{name}": {**entry, "origin": None} for name, entry in entries.items()}
    text = shown(summary, width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    tables = len(lines(text, "majority")) + 1  # Table 7 has none
    for name in FAMILY:
        assert len(lines(text, name)) == tables
    scores = [part for name in FAMILY for line in lines(text, name) for part in line if part.startswith("(")]
    assert len(scores) == len(FAMILY) * 2 * 9
    if width == 100:
        assert tables == 3 + 3  # the paper's, and twelve other tasks


def test_a_model_that_was_not_evaluated_on_a_task_has_no_line_or_a_dash(small_run):
    write_task(small_run / "eval" / "IT", "count-it", [1, 0])
    write_task(small_run / "eval" / "PT+IT", "zebra-it", [1, 0])
    write_task(small_run / "eval" / "IT", "zebra-it", [1, 0])
    text = shown(build_summary(read_run(small_run)))
    assert lines(text, "PT+IT")[2] == ["PT+IT", "–", "50.0"]
    narrow = shown(build_summary(read_run(small_run)), width=30)
    assert len(lines(narrow, "IT")) == len(lines(narrow, "PT+IT")) + 1


def test_names_are_no_markup(summary):
    summary["models"]["[red]x[/]"] = summary["models"].pop("IT")
    summary["tests"] = []
    assert "[red]x[/]" in shown(summary)
