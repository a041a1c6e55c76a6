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
    # Half of the equally extreme patterns: (756 - C(13, 3)) / 8192 = .0574, times 2
    assert "uncorrected p = 0.057, 40 questions" in shown
    assert "p = 0.115" in shown
    assert "Note:" not in shown


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
