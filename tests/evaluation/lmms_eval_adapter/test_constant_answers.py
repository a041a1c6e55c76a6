from __future__ import annotations

from ndino.evaluation.lmms_eval_adapter.constant_answers import best_constant


def test_the_best_constant_answer_is_the_best_of_the_commonest_targets():
    targets = ["a", "b", "b", ["c", "a"], ["a"], 3]
    scores = {"a": {"m": 0.2, "n": 1.0}, "b": {"m": 0.5, "n": 0.0}, "c": {"m": 0.1, "n": 0.0}}
    assert best_constant(targets, scores.__getitem__) == {"m": 0.5, "n": 0.0}
    assert best_constant([], scores.__getitem__) == {}
