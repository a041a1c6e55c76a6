from __future__ import annotations

import json

import pytest

from ndino.cli import main
from tests.commands import refused

pytestmark = pytest.mark.usefixtures("wide_terminal")


def test_report_writes_and_says_where(small_run, capsys):
    assert main(["report", str(small_run), "--title", "Mine <b>"]) == 0
    shown = capsys.readouterr().out
    for name in ("index.html", "tables.md", "summary.json"):
        assert str(small_run / "report" / name) in shown
        assert (small_run / "report" / name).exists()
    assert "Table 5" in shown and "42.5 (+42.5)" in shown
    assert shown.index("majority") < shown.index("86.2 (+66.2): score") < shown.index("• 2 of 5 scores")
    assert "<title>Mine &lt;b&gt;</title>" in (small_run / "report" / "index.html").read_text()


def test_a_report_without_a_title_keeps_the_one_it_had(small_run):
    page = small_run / "report" / "index.html"
    assert main(["report", str(small_run)]) == 0
    assert f"<title>LLaVA-NDiNO: results of {small_run.name}</title>" in page.read_text()
    assert main(["report", str(small_run), "--title", "Pipeline test: scores mean <nothing>"]) == 0
    before = page.read_text()
    assert main(["report", str(small_run)]) == 0
    assert page.read_text() == before
    renamed = small_run.rename(small_run.with_name("renamed"))
    assert main(["report", str(renamed), "--title", f"LLaVA-NDiNO: results of {small_run.name}"]) == 0
    assert main(["report", str(renamed)]) == 0
    assert "<title>LLaVA-NDiNO: results of renamed</title>" in (renamed / "report" / "index.html").read_text()


def test_report_states_how_much_of_each_benchmark_the_data_show(small_run, tmp_path, capsys):
    leaks = tmp_path / "leaks.json"
    seen = {"images": 500, "exact": 10, "near": 2, "possible": 31, "rows": 9000, "rows_seen": 216}
    unseen = {"images": 398, "exact": 0, "near": 0, "possible": 0, "rows": 0, "rows_seen": 0}
    bare = {**unseen, "images": 0, "rows": 370}
    benchmarks = {"swap-uniba/POPE_IT": seen, "lmms-lab/GQA": unseen, "crux82/gqa-it": bare}
    leaks.write_text(json.dumps({"data": "data/it/data.jsonl", "benchmarks": benchmarks}))
    assert main(["report", str(small_run), "--leaks", str(leaks)]) == 0
    tables = (small_run / "report" / "tables.md").read_text()
    (pope,) = [line for line in tables.splitlines() if "swap-uniba/POPE" in line]
    (gqa,) = [line for line in tables.splitlines() if "lmms-lab/GQA" in line]
    assert "12 of 500 (2.4 %)" in pope and "216 of 9,000 (2.4 %)" in pope and "data/it/data.jsonl" in pope
    assert [cell.strip("* ") for cell in pope.split("|")[4:8]] == ["10", "2", "216 of 9,000 (2.4 %)", "31"]
    assert "0 of 398 (0.0 %)" in gqa
    (without,) = [line for line in tables.splitlines() if "crux82/gqa-it" in line]
    assert "no images to compare" in without and "%" not in without and "| 0" not in without
    assert "12 of 500 (2.4 %)" in (small_run / "report" / "index.html").read_text()
    leaks.write_text("{}")
    assert f"{leaks}: is no file of ndino data leaks" in refused(
        capsys, "report", small_run, "--leaks", leaks
    )


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


@pytest.mark.parametrize(
    ("given", "option"),
    [
        (["RUN", "--live", "--leaderboard"], "--leaderboard"),
        (["RUN", "--live", "--title", "Mine"], "--title"),
        (["--leaderboard", "a.json", "--out", "out", "--title", ""], "--title"),
        (["--leaderboard", "a.json", "--out", "out", "--data", "data"], "--data"),
        (["--leaderboard", "a.json", "--out", "out", "--leaks", "leaks.json"], "--leaks"),
        (["--leaderboard", "a.json", "--out", "out", "--live"], "--live"),
    ],
)
def test_an_option_that_would_change_nothing_is_refused(small_run, given, option, capsys):
    line = refused(capsys, "report", *(small_run if each == "RUN" else each for each in given), code=2)
    assert f"{option} changes nothing about " in line
