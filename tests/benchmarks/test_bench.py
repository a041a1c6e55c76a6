"""``make bench``: every benchmark is in the table, also one that cannot run."""

from __future__ import annotations

import json
import sys

from benchmarks.bench import __main__ as bench
from benchmarks.bench.table import lines_of, rows_of, table
from tests.train.conftest import ROOT


def result(**changes) -> dict:
    return {"name": "n", "ratio": 2.0, "goal": 1.5, "equal": True, "conditions": {"machine": "m"}} | changes


def test_every_benchmark_is_run():
    commands = {path.stem for path in (ROOT / "benchmarks").glob("*.py") if "__main__" in path.read_text()}
    assert commands - bench.BENCHMARKS.keys() == {"upstream_loader_side"}, "it runs in upstream's environment"
    folders = {path.parent.name for path in (ROOT / "benchmarks").glob("*/__main__.py")}
    assert folders - bench.BENCHMARKS.keys() == {"bench", "gpu"}


def test_a_goal_is_reached_with_equal_results_alone():
    assert [row.reached for row in rows_of(result())] == [True]
    assert [row.reached for row in rows_of(result(ratio=1.2))] == [False]
    assert [row.reached for row in rows_of(result(equal=False))] == [False]
    assert [row.reached for row in rows_of(result(goal=None))] == [None]
    assert [row.reached for row in rows_of(result(name="convert", ratio=0.3, goal=0.35))] == [True]
    rows = list(rows_of(result(ratio={"memory": 0.3, "plain": 2.0}, goal={"memory": 0.2, "plain": 2})))
    assert [(row.name, row.reached) for row in rows] == [("n: memory", False), ("n: plain", True)]


def test_results_are_found_among_other_lines():
    printed = f"a line\n{json.dumps({'seconds': 1})}\n{json.dumps(result())}\n[1]\n"
    assert list(lines_of(printed)) == [result()]
    assert "| n | 2 | 1.5 | yes | m |" in table(rows_of(result()))
    busy = result(conditions={"machine": "m", "load": 9.1, "cores": 2})
    assert "| m; load 9.1 on 2 cores |" in table(rows_of(busy)), "other work changes times"


def test_a_benchmark_that_cannot_run_says_why(tmp_path, monkeypatch):
    (row,) = bench.run("benchmarks.none", tmp_path / "log", 60)
    assert row.reached is False and "No module named benchmarks.none" in row.conditions
    (row,) = bench.run("benchmarks.tile_images", tmp_path / "log", 0.01)
    assert "not finished after 0 s" in row.conditions


def test_the_command_prints_a_table(tmp_path, monkeypatch, capsys):
    arguments = ["bench", "--only", "tile_images", "--folder", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", arguments)
    bench.main()  # 1 where this machine is too busy for the goal
    printed = capsys.readouterr().out
    assert "| tile_images: 640x480 |" in printed
    assert (tmp_path / "bench.md").read_text() == printed
    assert "640x480" in (tmp_path / "tile_images.log").read_text()


def test_every_benchmark_prints_its_result_in_the_same_way():
    for name in bench.BENCHMARKS:
        module = ROOT / "benchmarks" / name
        text = (module / "__main__.py" if module.is_dir() else module.with_suffix(".py")).read_text()
        # `run_cases` of benchmarks.evaluate ends with `print_result`, and is itself seen here.
        assert "print_result(" in text or "return run_cases(" in text, name
        assert "import platform" not in text, name
