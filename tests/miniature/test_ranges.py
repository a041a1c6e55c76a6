"""Ranges over seeds: lowest and highest values in their cells, and demos that do not belong are named."""

from __future__ import annotations

import json
from pathlib import Path

from miniature import ranges
from miniature.ranges import main

COLUMNS, PERPLEXITY_COLUMNS = (
    ranges.columns(named, "it") for named in (ranges.COLUMNS, ranges.PERPLEXITY_COLUMNS)
)


def write_demo(
    folder: Path, *, score: float, gain: float, perplexity: float, fast: bool = False, lang: str = ""
) -> Path:
    """A finished demo with one model, the same values in every column; Italian, as older ones do not say."""
    entry = {
        "metric": "exact_match",
        "exact_match": score,
        "right_minus_shuffled": gain,
        "majority": 0.25,
    }
    tasks, sets = (
        ranges.columns(named, lang or "it") for named in (ranges.COLUMNS, ranges.PERPLEXITY_COLUMNS)
    )
    summary = {
        "models": {"PT+IT": {task: entry for task in tasks}},
        "perplexity": {"PT+IT": {name: {"corpus": perplexity} for name in sets}},
    }
    world = {"fast": fast} | ({"lang": lang} if lang else {})
    for path, content in (("report/summary.json", summary), ("data/world.json", world)):
        (folder / path).parent.mkdir(parents=True)
        (folder / path).write_text(json.dumps(content))
    return folder


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_cells_hold_lowest_and_highest(tmp_path, capsys):
    demos = [
        write_demo(tmp_path / "a", score=0.954, gain=0.13, perplexity=1234.5),
        write_demo(tmp_path / "b", score=0.51, gain=-0.02, perplexity=1.017),
        write_demo(tmp_path / "c", score=0.7, gain=0.0, perplexity=2.0),
    ]
    assert main([str(demo) for demo in demos]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert cells(lines[0]) == ["model", *COLUMNS.values()]
    assert cells(lines[2]) == ["PT+IT"] + ["51–95 (−2 to +13)"] * len(COLUMNS)
    assert cells(lines[3]) == ["*commonest answer*"] + ["25"] * len(COLUMNS)
    assert cells(lines[-1]) == ["PT+IT"] + ["1.02–1,234"] * len(PERPLEXITY_COLUMNS)


def test_what_is_shown_alike_is_one_value(tmp_path, capsys):
    demos = [
        write_demo(tmp_path / str(score), score=score, gain=-0.001, perplexity=2.0)
        for score in (0.501, 0.499)
    ]
    assert main([str(demo) for demo in demos]) == 0
    assert cells(capsys.readouterr().out.splitlines()[2])[1] == "50 (0)"


def test_demos_that_do_not_belong_are_named(tmp_path, capsys):
    good = write_demo(tmp_path / "good", score=0.5, gain=0.1, perplexity=2.0)
    assert main([str(good), str(tmp_path / "none")]) == 1
    assert "no finished demo" in (told := capsys.readouterr().err) and "none" in told and "remedy" in told
    fast = write_demo(tmp_path / "fast", score=0.5, gain=0.1, perplexity=2.0, fast=True)
    assert main([str(good), str(fast)]) == 1
    assert "after --fast" in capsys.readouterr().err
    spanish = write_demo(tmp_path / "spanish", score=0.5, gain=0.1, perplexity=2.0, lang="es")
    assert main([str(good), str(spanish)]) == 1
    assert "another language than in the first demo" in capsys.readouterr().err
    assert main([str(spanish)]) == 0 and "| POPE-es |" in capsys.readouterr().out
    other = write_demo(tmp_path / "other", score=0.5, gain=0.1, perplexity=2.0)
    path = other / "report" / "summary.json"
    path.write_text(path.read_text().replace("PT+IT", "IT"))
    assert main([str(good), str(other)]) == 1
    assert "other models" in capsys.readouterr().err
