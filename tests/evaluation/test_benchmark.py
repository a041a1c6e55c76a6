"""The benchmarks of evaluation run, at a size that shows no gain, and both sides give the same answers."""

from __future__ import annotations

import json
import sys

import pytest

from benchmarks import evaluate, evaluate_bf16
from benchmarks.likelihood import __main__ as likelihood


def lines_of_json(printed: str) -> list[dict]:
    # DeepSpeed, where it is installed, writes its log to standard output.
    return [json.loads(line) for line in printed.splitlines() if line.startswith("{")]


@pytest.fixture
def small(monkeypatch) -> None:
    """Make the model of both comparisons a small one."""
    side = 56
    for name, value in {"HIDDEN": 512, "LAYERS": 1, "SIDE": side, "VOCABULARY": 512}.items():
        monkeypatch.setattr(evaluate, name, value)
    monkeypatch.setattr(evaluate, "PINPOINTS", [[2 * side, 2 * side]])


def test_it_prints_a_line_of_json_for_each_case(small, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["evaluate", "--questions", "1", "3", "--turns", "1"])
    assert evaluate.main() == 0
    one, three = lines_of_json(capsys.readouterr().out)
    assert one["name"] == "evaluate, 1 question an image" and one["goal"] == 0.9
    assert three["name"] == "evaluate, 3 questions an image" and three["goal"] is None
    assert one["equal"] is three["equal"] is True
    assert one["conditions"]["questions"] == 16 and three["conditions"]["questions"] == 3
    assert one["ratio"] > 0 and three["conditions"]["cpu_seconds"]["theirs"] > 0


def test_letters_have_the_same_order_on_both_sides(small, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["likelihood", "--questions", "3", "--turns", "1"])
    assert likelihood.main() == 0
    (line,) = lines_of_json(capsys.readouterr().out)
    assert line["name"] == "multiple choice by likelihood, 3 questions an image" and line["equal"] is True
    assert (line["conditions"]["questions"], line["conditions"]["letters"]) == (3, 4)


def test_in_bfloat16_three_ways_are_compared_with_float32(monkeypatch, capsys):
    for name, value in {"IMAGES": 2, "QUESTIONS": 3, "LAYERS": 2, "SIDE": 56}.items():
        monkeypatch.setattr(evaluate_bf16, name, value)
    monkeypatch.setattr(sys, "argv", ["evaluate_bf16", "--seeds", "2"])
    assert evaluate_bf16.main() == 0
    (line,) = lines_of_json(capsys.readouterr().out)
    assert line["equal"] is True
    assert line["conditions"]["questions"] == 12 and line["conditions"]["images"] == 4
    assert line["conditions"]["different_answers"] > 1


@pytest.mark.parametrize(
    ("only_packed", "only_ordinary", "good"), [(5, 0, True), (6, 0, False), (0, 6, True), (20, 10, True)]
)
def test_packed_answers_that_differ_more_often_are_worse_unless_by_chance(
    only_packed, only_ordinary, good, monkeypatch
):
    monkeypatch.setattr(evaluate_bf16, "QUESTIONS", 9)
    exact = [(1, 2)] * 36
    spoilt = (1, 3)
    packed = [spoilt if i < only_packed else answer for i, answer in enumerate(exact)]
    ordinary = [spoilt if i >= 36 - only_ordinary else answer for i, answer in enumerate(exact)]
    ways = {"fp32": exact, "fp32_ordinary": exact, "packed": packed, "ordinary": ordinary}
    line, found = evaluate_bf16.summary({**ways, "one_at_a_time": ordinary}, seeds=[0])
    assert found is good
    counted = line["conditions"]["whole_answer"]
    assert (counted["only_packed"], counted["only_other"]) == (only_packed, only_ordinary)
    assert line["conditions"]["first_token"]["packed"] == 0
