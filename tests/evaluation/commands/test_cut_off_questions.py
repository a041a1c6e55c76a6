"""Logs of an earlier version, whose ``--limit`` ended within a question, and logs that lost rows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from miniature.steps import make_world
from ndino.cli import main
from ndino.results.logs import ResultsError, read_model
from tests.evaluation.commands.results import log, results

TASKS = "mmbench-it,mme-it"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("world")
    make_world(lambda *_: None, out, "drawn", "it", 42, True)
    return out / "benchmarks"


def keep_rows(folder: Path, task: str, number: int) -> None:
    """Make a finished log that of a version which asked only so many rows, and did not say how many."""
    path = folder / f"{task}.jsonl"
    rows = log(path)[:number]
    for row in rows:
        del row["group_size"]
    if task == "mmbench-it":
        rows[-3]["metrics"]["circular"] = 0.0  # as it counted a question that was cut off
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    stated = results(folder)
    entry = stated["tasks"][task]
    entry["n"] = entry["depends"]["task"]["questions"] = number
    entry["metrics"] = {
        metric: sum(scores) / len(scores)
        for metric in entry["metrics"]
        if (scores := [row["metrics"][metric] for row in rows if metric in row["metrics"]])
    }
    (folder / "results.json").write_text(json.dumps(stated))


def test_a_log_that_ends_within_a_question_is_refused_until_it_is_scored_again(run, data, tmp_path, capsys):
    folder = tmp_path / "eval" / "it"
    assert run("--tasks", TASKS, "--limit", 2, data=data) == 0
    keep_rows(folder, "mmbench-it", 7)
    keep_rows(folder, "mme-it", 3)
    with pytest.raises(ResultsError, match="only 3 of the 4 rows of its question are there"):
        read_model(folder)
    capsys.readouterr()
    assert main(["rescore", str(folder), "--data", str(data)]) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "lacks" in line]
    assert said == [
        f"ndino rescore: {folder}: mmbench-it: 1 question lacks rows and is left out of circular, plain",
        f"ndino rescore: {folder}: mme-it: 1 question lacks rows and is left out of robust_plus",
    ]
    rows = log(folder / "mmbench-it.jsonl")
    assert [("circular" in row["metrics"], row["group_size"]) for row in rows] == [
        (number == 0, 4) for number in range(7)
    ]
    assert [row["metrics"]["circular"] for row in rows[:1]] == [
        results(folder)["tasks"]["mmbench-it"]["metrics"]["circular"]
    ]
    assert [note.partition(" and is")[0] for note in read_model(folder).notes] == [
        "it: mmbench-it: 1 question lacks rows",
        "it: mme-it: 1 question lacks rows",
    ]


def test_where_no_question_is_whole_there_is_no_score(run, data, tmp_path, capsys):
    folder = tmp_path / "eval" / "it"
    assert run("--tasks", "mmbench-it", "--limit", 1, data=data) == 0
    keep_rows(folder, "mmbench-it", 3)
    before = results(folder)
    assert main(["rescore", str(folder), "--data", str(data)]) == 1
    said = "mmbench-it: no kept question is whole, so that there is no circular (remedy: ndino evaluate asks"
    assert said in capsys.readouterr().err
    assert results(folder) == before


@pytest.mark.parametrize("damage", ["lost", "gone", "torn"])
def test_a_log_that_lost_rows_is_not_scored(run, data, tmp_path, capsys, damage):
    folder = tmp_path / "eval" / "it"
    assert run("--tasks", TASKS, "--limit", 2, "--shuffle", data=data) == 0
    path = folder / "mmbench-it.shuffled.jsonl"
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    path.write_bytes({"lost": b"".join(lines[1:]), "gone": b"", "torn": whole[:-9]}[damage])
    if damage == "gone":
        path.unlink()
    before = {each.name: each.read_bytes() for each in folder.glob("mmbench*")}
    capsys.readouterr()
    assert main(["rescore", str(folder), "--data", str(data)]) == 1
    captured = capsys.readouterr()
    assert "it: 1 of 2 tasks scored" in captured.out
    (said,) = [line for line in captured.err.splitlines() if "remedy" in line]
    assert said.startswith(f"ndino rescore: {folder}: mmbench-it: mmbench-it.shuffled.jsonl ")
    assert said.endswith("(remedy: remove it, and ndino evaluate makes it again)")
    assert ("holds 7 rows, not the 8 asked" in said) == (damage == "lost")
    assert {each.name: each.read_bytes() for each in folder.glob("mmbench*")} == before
    path.unlink(missing_ok=True)
    assert run("--tasks", TASKS, "--limit", 2, "--shuffle", data=data) == 0
    assert path.read_bytes() == whole


def test_a_limit_is_a_number_of_questions(run, data, capsys):
    for wrong in ("0.5", "0", "-1", "2.0"):
        with pytest.raises(SystemExit) as refused:
            run("--tasks", "mmbench-it", "--limit", wrong, data=data)
        assert refused.value.code == 2
        assert f"'{wrong}' is not a whole number above 0" in capsys.readouterr().err


def test_a_smaller_limit_replaces_no_answers(run, data, tmp_path, capsys):
    assert run("--tasks", "mmbench-it", "--limit", 2, data=data) == 0
    assert run("--tasks", "mmbench-it", "--limit", 2, data=data) == 0
    assert run("--tasks", "mmbench-it", "--limit", 1, data=data) == 2
    assert "holds 8 answers to mmbench-it, which --limit 1 would replace" in capsys.readouterr().err
