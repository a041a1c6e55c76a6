from __future__ import annotations

import json
import shutil

import pytest

from ndino.cli import main
from tests.commands import refused
from tests.results.synthetic import write_task

pytestmark = pytest.mark.usefixtures("wide_terminal")


def test_compare_prints_scores_and_tests(small_run, capsys):
    assert main(["compare", str(small_run), "--models", "PT+IT", "IT"]) == 0
    shown = capsys.readouterr().out
    assert "42.5 sees" in shown
    assert "[28.5, 57.8]" in shown
    assert "PT+IT vs IT" in shown
    assert "only PT+IT: 10, only IT: 3 of 40" in shown
    assert "paper: p = 0.092, exact" in shown
    # Half of the equally extreme patterns: (756 - C(13, 3)) / 8192 = .0574, times 3 of four tests in order
    assert "uncorrected p = 0.057, 40 questions" in shown
    assert "p = 0.172" in shown
    assert "Note:" not in shown


def test_compare_shows_and_tests_perplexities_in_one_family(small_run, capsys):
    """The same numbers as in the report, see test_summary.py."""
    assert main(["compare", str(small_run), "--models", "IT", "PT+IT"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "Table 7: perplexity" in shown and "5.00 corpus 31.75" in shown
    assert "Perplexity of LLAVA-BENCH-IT" in shown and "uncorrected p = 0.125, 3 answers" in shown
    assert "Holm-corrected over all 4 tests, 1 of them of perplexities" in shown
    # By folders too, and only where both have them.
    folders = [str(small_run / "eval" / name) for name in ("IT", "PT+IT")]
    assert main(["compare", *folders]) == 0
    assert " ".join(capsys.readouterr().out.split()) == shown
    shutil.rmtree(small_run / "ppl" / "IT")
    assert main(["compare", *folders]) == 0
    bare = capsys.readouterr().out
    assert "Table 7" not in bare and "erplexit" not in bare and "corrected over all 3 tests" in bare


def test_compare_needs_no_task_where_there_are_perplexities(small_run, capsys):
    (small_run / "eval" / "C").mkdir()
    write_task(small_run / "eval" / "C", "count-it", [1, 0])
    shutil.copytree(small_run / "ppl" / "IT", small_run / "ppl" / "C")
    assert main(["compare", str(small_run), "--models", "C", "PT+IT"]) == 0
    shown = capsys.readouterr().out
    assert (
        "Perplexity of LLAVA-BENCH-IT" in shown
        and "corrected over 1 test, 1 of them of perplexities" in shown
    )


def test_what_a_legend_says_fits_a_screen(small_run, capsys):
    assert main(["compare", str(small_run), "--models", "IT", "PT+IT"]) == 0
    shown = capsys.readouterr().out
    legend = [
        line for line in shown.splitlines() if line.strip() and not line.startswith((" ", "Table", "Do the"))
    ]
    assert 6 <= len(legend) <= 24


def test_compare_takes_evaluation_folders(small_run, tmp_path, capsys):
    other = tmp_path / "elsewhere" / "IT"
    shutil.copytree(small_run / "eval" / "PT+IT", other)
    assert main(["compare", str(small_run / "eval" / "IT"), str(small_run / "eval" / "PT+IT")]) == 0
    assert "IT vs PT+IT" in capsys.readouterr().out
    # two folders of the same name are told apart by their paths
    assert main(["compare", str(small_run / "eval" / "IT"), str(other)]) == 0
    assert "elsewhere" in capsys.readouterr().out


def test_compare_tests_every_pair(family_run, capsys):
    assert main(["compare", str(family_run), "--models", "PT", "IT", "PT+IT"]) == 0
    shown = capsys.readouterr().out
    assert all(pair in shown for pair in ("PT vs IT", "PT vs PT+IT", "IT vs PT+IT"))


@pytest.mark.parametrize("names", [["IT"], ["IT", "IT"]])
def test_compare_needs_two_models(small_run, capsys, names):
    assert "two or more different models" in refused(capsys, "compare", small_run, "--models", *names, code=2)


def test_compare_names_a_missing_model(small_run, capsys):
    message = refused(capsys, "compare", small_run, "--models", "IT", "mblip", code=2)
    assert f"{small_run / 'eval' / 'mblip'}: evaluation folder not found" in message


def test_compare_needs_a_common_task(small_run, capsys):
    (small_run / "eval" / "C").mkdir()
    write_task(small_run / "eval" / "C", "count-it", [1, 0])
    assert "no task in common" in refused(capsys, "compare", small_run, "--models", "IT", "C")


def test_compare_refuses_names_with_folders(small_run, capsys):
    assert "--models selects models" in refused(
        capsys, "compare", small_run, small_run, "--models", "IT", code=2
    )


def test_compare_refuses_other_data(small_run, capsys):
    path = small_run / "eval" / "IT" / "results.json"
    results = json.loads(path.read_text())
    results["tasks"]["gqa-it"]["version"] = 7
    path.write_text(json.dumps(results))
    assert "version of task gqa-it is 1 here and 7 for IT" in refused(
        capsys, "compare", small_run, "--models", "IT", "PT+IT"
    )
