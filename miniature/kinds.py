"""Scores by kind of question: a benchmark's logs split as ``kinds.json`` tells, as tasks of their own."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from statistics import fmean
from typing import Any

from ndino.evaluation.models import find_model, parse_backend
from ndino.evaluation.store import Store, key_of

TASKS = Path(__file__).parents[1] / "tasks_it"
# Where each benchmark keeps its definition, and the field of its documents that holds the logged target.
SOURCES = {
    "gqa-it": ("gqa_it/gqa_it.yaml", "answer"),
    "ok-vqa-it": ("ok-vqa_it/ok-vqa_it.yaml", "answers"),
}


def split_by_kind(name: str, folder: Path, out: Path, kinds: Mapping[str, list[str]]) -> None:
    """Write a log for each kind of question beside the model's logs, and its scores to ``results.json``."""
    store = Store(out / name, find_model(name, str(folder), parse_backend("hf")))
    for task, kind_of in kinds.items():
        for kind in dict.fromkeys(kind_of):
            for shuffled in (False, True):
                rows = _rows(out / name / f"{task}{'.shuffled' if shuffled else ''}.jsonl")
                rows = [row for row in rows if kind_of[row["doc_id"]] == kind]
                metrics = {
                    metric: fmean(row["metrics"][metric] for row in rows) for metric in rows[0]["metrics"]
                }
                store.save(
                    kind,
                    key_of(store.results["tasks"][task]["key"], kind),
                    rows,
                    metrics,
                    shuffled=shuffled,
                    version=store.results["tasks"][task]["version"],
                    majority=_majority(task, rows),
                )


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _majority(task: str, rows: list[dict[str, Any]]) -> dict[str, float]:
    """Scores of the best constant answer, by the benchmark's own scoring."""
    score, field = _scoring(task)
    targets = [row["target"] for row in rows]
    texts = Counter(text for target in targets for text in ([target] if isinstance(target, str) else target))
    best: dict[str, float] = {}
    for answer, _ in texts.most_common(10):
        scores = [score({field: target}, [answer]) for target in targets]
        for metric in scores[0]:
            best[metric] = max(best.get(metric, 0.0), fmean(each[metric] for each in scores))
    return best


@lru_cache
def _scoring(task: str) -> tuple[Callable[[Mapping[str, Any], list[str]], Mapping[str, float]], str]:
    from lmms_eval.utils import load_yaml_config

    path, field = SOURCES[task]
    return load_yaml_config(str(TASKS / path), mode="full")["process_results"], field
