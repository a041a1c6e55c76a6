"""Runs in another language than Italian, and in several; texts from the right."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from ndino.cli import main
from ndino.results.logs import read_run
from ndino.results.report import write_report
from ndino.results.summary import build_summary
from ndino.results.tables import build_tables, perplexity_sets, tasks_in_order
from ndino.results.terminal_summary import print_summary
from tests.results.synthetic import write_perplexity, write_task

BENCHMARKS = ("pope", "gqa", "mtvqa", "llava-bench")


def write_languages(run: Path, *codes: str) -> None:
    right = [1.0, 0.0] * 10
    for name in ("first", "second"):
        for code in codes:
            for task in BENCHMARKS:
                write_task(run / "eval" / name, f"{task}-{code}", right, right[::-1])
            for answers in ("mtvqa", "llava-bench", "own"):
                write_perplexity(run, name, f"{answers}-{code}", [2.0] * 20)


def titles(run: Path) -> dict[str, str]:
    return {table.key: table.title for table in build_tables(build_summary(read_run(run)))}


def test_a_run_in_one_language_has_the_papers_tables_with_its_name(tmp_path):
    write_languages(tmp_path, "es")
    found = titles(tmp_path)
    assert found["table-5"] == "Table 5: translated benchmarks"
    assert found["table-6"] == "Table 6: native Spanish benchmarks"
    summary = build_summary(read_run(tmp_path))
    assert tasks_in_order(summary) == ["gqa-es", "pope-es", "mtvqa-es", "llava-bench-es"]
    table = next(table for table in build_tables(summary) if table.key == "table-5")
    assert [column.name for column in table.columns] == ["GQA-ES ↑", "POPE-ES ↑"]
    assert table.legend[-1] == "Not run: OK-VQA-ES, SEEDBENCH-ES."


def test_a_run_in_several_languages_groups_its_tables_by_them(tmp_path):
    write_languages(tmp_path, "it", "es")
    for code in ("it", "es"):
        write_task(tmp_path / "eval" / "first", f"own-{code}", [1.0, 0.0] * 10)
    found = titles(tmp_path)
    assert [*found][:4] == ["table-5-es", "table-6-es", "table-5-it", "table-6-it"]
    assert found["table-5-es"] == "Table 5: translated benchmarks, Spanish"
    assert found["table-6-it"] == "Table 6: native Italian benchmarks"
    summary = build_summary(read_run(tmp_path))
    papers = [f"{task}-{code}" for code in ("es", "it") for task in ("gqa", "pope", "mtvqa")]
    others = ["llava-bench-es", "own-es", "llava-bench-it", "own-it"]
    assert tasks_in_order(summary) == [*papers, *others]
    sets = [f"{name}-{code}" for code in ("es", "it") for name in ("llava-bench", "mtvqa")]
    assert perplexity_sets(summary) == [*sets, "own-es", "own-it"]
    console = Console(record=True, width=100)
    print_summary(summary, console)
    shown = console.export_text()
    assert shown.index("translated benchmarks, Spanish") < shown.index("translated benchmarks, Italian")


@pytest.mark.parametrize("task", ["pope-eu", "ok-vqa-eu"])
@pytest.mark.parametrize("command", ["report", "compare"])
def test_a_language_whose_file_is_gone_is_named_and_the_report_stays(capsys, tmp_path, command, task):
    for name in ("first", "second"):
        write_task(tmp_path / "eval" / name, task, [1.0, 0.0] * 10)
        results = tmp_path / "eval" / name / "results.json"
        found = json.loads(results.read_text(encoding="utf-8"))
        found["tasks"][task]["depends"] = {"task": {"language": "0a1b"}}
        results.write_text(json.dumps(found), encoding="utf-8")
    (tmp_path / "report").mkdir()
    tables = tmp_path / "report" / "tables.md"
    tables.write_text("good", encoding="utf-8")
    more = ["--models", "first", "second"] if command == "compare" else []
    assert main([command, str(tmp_path), *more]) == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert "results.json: task " in said and "ndino/languages/eu.yaml is missing (remedy: " in said
    assert tables.read_text(encoding="utf-8") == "good"


@pytest.mark.parametrize(
    ("code", "yes", "no"), [("es", "sí", "no"), ("it", "sì", "no"), ("de", "ja", "nein")]
)
def test_the_interval_of_an_f1_reads_the_right_answers_in_the_tasks_language(tmp_path, code, yes, no):
    right = [1.0, 1.0, 0.0, 1.0] * 5
    write_task(
        tmp_path / "eval" / "m",
        f"pope-{code}",
        right,
        metric="pope_accuracy",
        # Of each four, two say yes and are right once, two say no and are right.
        extra={"pope_f1_score": 2 / 3},
        targets=[yes, no, yes, no] * 5,
        answers=[yes, no, no, no] * 5,
    )
    entry = build_summary(read_run(tmp_path))["models"]["m"][f"pope-{code}"]
    low, high = entry["intervals"]["pope_f1_score"]
    assert low < 2 / 3 < high


def test_texts_from_the_right_have_their_own_direction_on_the_page(tmp_path):
    from PIL import Image

    question, answer = "ما لون المربع؟", "أحمر"
    write_task(tmp_path / "eval" / "m", "gqa-es", [1.0] * 4, targets=[answer] * 4, answers=[answer] * 4)
    log = tmp_path / "eval" / "m" / "gqa-es.jsonl"
    log.write_text(log.read_text(encoding="utf-8").replace("Domanda 0?", question), encoding="utf-8")
    images = tmp_path / "eval" / "images" / "gqa-es"
    images.mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(images / "0.png")
    write_report(tmp_path)
    page = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert f'<p class="question" dir="auto">{question}</p>' in page
    # An element of its own, which HTML gives the direction of its text.
    assert page.count(f"<bdi>{answer}</bdi>") == 2
