from __future__ import annotations

import math
from pathlib import Path

import pytest

from ndino.evaluation.benchmarks import Benchmarks
from ndino.evaluation.lmms_eval_adapter.evaluator import evaluate, group_totals, is_number
from tests.evaluation.answerer import Answerer, guess, see

PARTS = ["pope_adv-it", "pope_pop-it", "pope_random-it"]


@pytest.fixture(scope="module")
def benchmarks(benchmark_folder: Path, tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(benchmark_folder)
        yield Benchmarks(["pope_full-it"], data=benchmark_folder, cache=tmp_path_factory.mktemp("cache"))


def test_a_task_is_evaluated_in_the_order_of_the_yaml(benchmarks):
    task = benchmarks.task(PARTS[0])
    found = evaluate(Answerer(see), task, benchmarks.index, limit=None)
    assert list(found.metrics) == list(task.totals) and found.metrics["pope_accuracy"] == 1
    assert sorted(sample.doc_id for sample in found.samples) == [0, 1, 2, 3]
    first = next(sample for sample in found.samples if sample.doc_id == 0)
    assert (first.answer, first.target, first.prompt) == ("sì", "sì", task.prompt(0))
    assert first.values["robust"] == 1 and first.values["robust_f1_score"] == {"gold": True, "said": True}


def test_a_limit_takes_the_first_rows(benchmarks):
    task = benchmarks.task(PARTS[0])
    found = evaluate(Answerer(guess), task, benchmarks.index, limit=2)
    assert {sample.doc_id for sample in found.samples} == {0, 1}
    assert found.metrics["pope_accuracy"] == 0.5


def test_totals_weigh_tasks_by_their_size(benchmarks):
    tasks = {name: benchmarks.task(name) for name in PARTS}
    metrics = {name: {"robust": float(name == PARTS[0])} for name in PARTS}
    totals = group_totals(
        benchmarks.index, "pope_full-it", tasks, dict(zip(PARTS, (2, 1, 1), strict=True)), metrics
    )
    assert totals == {"robust": 0.5}


@pytest.mark.parametrize("value", ["N/A", None, True, math.nan, math.inf, [1]])
def test_what_is_no_finite_number_is_no_metric(value):
    assert not is_number(value)
    assert is_number(0) and is_number(0.5)
