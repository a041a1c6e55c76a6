"""The benchmark of evaluation runs, at a size that shows no gain, and both sides give the same answers."""

from __future__ import annotations

import json
import sys

from benchmarks import evaluate


def test_it_prints_a_line_of_json_for_each_case(monkeypatch, capsys):
    side = 56
    small = {"HIDDEN": 512, "LAYERS": 1, "SIDE": side, "VOCABULARY": 512}
    for name, value in small.items():
        monkeypatch.setattr(evaluate, name, value)
    monkeypatch.setattr(evaluate, "PINPOINTS", [[2 * side, 2 * side]])
    monkeypatch.setattr(sys, "argv", ["evaluate", "--questions", "1", "3", "--turns", "1"])
    assert evaluate.main() == 0
    one, three = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert one["name"] == "evaluate, 1 question a picture" and one["goal"] == 0.9
    assert three["name"] == "evaluate, 3 questions a picture" and three["goal"] is None
    assert one["equal"] is three["equal"] is True
    assert one["conditions"]["questions"] == 16 and three["conditions"]["questions"] == 3
    assert one["ratio"] > 0 and three["conditions"]["cpu_seconds"]["theirs"] > 0
