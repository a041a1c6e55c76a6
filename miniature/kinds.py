"""Split a benchmark's logs by kind of question (``kinds.json``), so that each kind is scored as a task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from ndino.evaluation.controls import RIGHT
from ndino.evaluation.lmms_eval_adapter.constant_answers import best_constant
from ndino.evaluation.models import find_model
from ndino.evaluation.store import ResultsStore
from ndino.evaluation.tasks.framework.benchmark_task import BenchmarkTask
from ndino.evaluation.tasks.gqa import Gqa
from ndino.evaluation.tasks.ok_vqa import OkVqa
from ndino.languages.language import code_of_task

# What makes the results here and the captions again, as messages name it.
COMMAND = "make demo"
# The benchmarks, and the field of their documents that is logged as the target.
BENCHMARKS: dict[str, tuple[type[BenchmarkTask], str]] = {
    "gqa": (Gqa, "answer"),
    "ok-vqa": (OkVqa, "answers"),
}


def split_by_kind(
    name: str, folder: Path, out: Path, kinds: Mapping[str, list[str]], suffix: str = ""
) -> None:
    """Write a log for each kind of question beside the model's logs, and its scores to ``results.json``.

    ``kinds`` maps a task to the kind of each of its documents, by document id; ``suffix`` stands behind their
    names.
    """
    store = ResultsStore(out / name, find_model(name, str(folder)))
    for task, kind_of in kinds.items():
        depends = store.results["tasks"][task]["depends"]
        logs = {control: store.rows(task, control) for control in (RIGHT, *store.controls(task))}
        for kind in dict.fromkeys(kind_of):
            scored = {}
            for control, log in logs.items():
                part = [row for row in log if kind_of[row["doc_id"]] == kind]
                scored[control] = part, _means(part)
            rows, metrics = scored.pop(RIGHT)
            store.save(
                f"{kind}{suffix}",
                {**depends, "task": {**depends["task"], "kind": kind}},
                rows,
                metrics,
                controls=scored,
                version=store.results["tasks"][task]["version"],
                majority=_majority(task, rows),
                part_of=task,
                renewed_by=COMMAND,
            )


def _means(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The mean of each metric over the rows of a log."""
    return _mean_of([row["metrics"] for row in rows])


def _mean_of(scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {metric: fmean(each[metric] for each in scores) for metric in scores[0]}


def _majority(task: str, rows: list[dict[str, Any]]) -> dict[str, float]:
    """Scores of the best constant answer under the benchmark's own scoring."""
    score, field = _scoring(task)
    targets = [row["target"] for row in rows]
    return best_constant(
        targets, lambda answer: _mean_of([score({field: target}, [answer]) for target in targets])
    )


def _scoring(task: str) -> tuple[Callable[[Mapping[str, Any], list[str]], Mapping[str, float]], str]:
    code = code_of_task(task)
    assert code is not None  # tasks of ours alone have kinds
    benchmark, field = BENCHMARKS[task.removesuffix(f"-{code}")]
    return benchmark(code).process_results, field
