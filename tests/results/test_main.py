"""The two commands as a user runs them: output, one-line errors, exit status."""

from __future__ import annotations

import json
import shutil

import pytest

from ndino.results.__main__ import main
from tests.results.synthetic import write_task


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")


def refused(capsys, *arguments: object) -> str:
    assert main([str(argument) for argument in arguments]) == 2
    message = capsys.readouterr().err
    assert message.startswith("ndino.results: ")
    assert message.count("\n") == 1
    return message


def test_compare_prints_scores_and_tests(small_run, capsys):
    assert main(["compare", str(small_run), "--models", "PT+IT", "IT"]) == 0
    shown = capsys.readouterr().out
    assert "42.5 sees" in shown
    assert "[28.5, 57.8]" in shown
    assert "PT+IT vs IT" in shown
    assert "only PT+IT: 10, only IT: 3 of 40" in shown
    assert "uncorrected p = 0.092, exact" in shown
    assert "p = 0.185" in shown


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
    assert "two or more different models" in refused(capsys, "compare", small_run, "--models", *names)


def test_compare_names_a_missing_model(small_run, capsys):
    message = refused(capsys, "compare", small_run, "--models", "IT", "mblip")
    assert f"{small_run / 'eval' / 'mblip'}: evaluation folder not found" in message


def test_compare_needs_a_common_task(small_run, capsys):
    (small_run / "eval" / "C").mkdir()
    write_task(small_run / "eval" / "C", "count-it", [1, 0])
    assert "no task in common" in refused(capsys, "compare", small_run, "--models", "IT", "C")


def test_compare_refuses_names_with_folders(small_run, capsys):
    assert "--models selects models" in refused(capsys, "compare", small_run, small_run, "--models", "IT")


def test_compare_refuses_other_data(small_run, capsys):
    path = small_run / "eval" / "IT" / "results.json"
    results = json.loads(path.read_text())
    results["tasks"]["gqa-it"]["version"] = 7
    path.write_text(json.dumps(results))
    assert "version of task gqa-it is 1 here and 7 for IT" in refused(
        capsys, "compare", small_run, "--models", "IT", "PT+IT"
    )


def test_report_writes_and_says_where(small_run, capsys):
    assert main(["report", str(small_run), "--title", "Mine <b>"]) == 0
    shown = capsys.readouterr().out
    for name in ("index.html", "tables.md", "summary.json"):
        assert str(small_run / "report" / name) in shown
        assert (small_run / "report" / name).exists()
    assert "Table 5" in shown and "42.5 (+42.5)" in shown
    assert shown.index("majority") < shown.index("86.2 (+66.2): score") < shown.index("• 2 of 5 scores")
    assert "<title>Mine &lt;b&gt;</title>" in (small_run / "report" / "index.html").read_text()


def test_report_takes_data_folders_and_refuses_what_is_none(small_run, tmp_path, capsys):
    assert f"{tmp_path}: no manifest.json" in refused(capsys, "report", small_run, "--data", tmp_path)
    rows = {"total": 1, "sources": {}}
    manifest = {"source": "mtvqa", "lang": "it", "files": {}, "rows": rows, "counts": {"mtvqa/test": 884}}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    assert main(["report", str(small_run), "--data", str(tmp_path)]) == 0
    assert "table-2,mtvqa,# Test,884" in (small_run / "report" / "tables.csv").read_text()


def test_report_refuses_a_broken_log(small_run, capsys):
    log = small_run / "eval" / "IT" / "gqa-it.jsonl"
    log.write_text(log.read_text() + "{")
    assert f"{log} row 41: broken line" in refused(capsys, "report", small_run)


def test_report_tells_when_it_cannot_write(small_run, capsys):
    (small_run / "report").write_text("in the way")
    assert main(["report", str(small_run)]) == 1
    message = capsys.readouterr().err
    assert str(small_run / "report") in message
    assert message.count("\n") == 1


def test_report_refuses_an_empty_folder(tmp_path, capsys):
    assert "no evaluated model" in refused(capsys, "report", tmp_path)
