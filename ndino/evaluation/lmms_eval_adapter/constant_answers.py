"""What the best constant answer scores: what a model gets without looking or thinking."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from ndino.evaluation.lmms_eval_adapter.evaluator import is_number
from ndino.evaluation.lmms_eval_adapter.loaded_task import LoadedTask

# The best constant answer is looked for among this many of the commonest targets.
CONSTANT_ANSWERS = 10

Metrics = dict[str, float]


def best_constant(targets: Sequence[Any], score: Callable[[str], Metrics]) -> Metrics:
    """What the best constant answer scores: of the ten commonest targets, the best by the first metric.

    Args:
        targets: for each question a text, or a list of them.
        score: gives what a text scores as the answer to all questions.
    """
    texts = Counter(text for target in targets for text in _texts(target))
    scores = [score(answer) for answer, _ in texts.most_common(CONSTANT_ANSWERS)]
    return max(scores, key=lambda metrics: next(iter(metrics.values())), default={})


def _texts(target: Any) -> list[str]:
    return [text for text in (target if isinstance(target, list) else [target]) if isinstance(text, str)]


def score_constant(task: LoadedTask, asked: range, answer: str) -> Metrics:
    """What a text scores as the answer to all rows ``asked``; without metrics that have no value on these."""
    scored = [task.score(number, answer) for number in asked]
    totals = {metric: total([s[metric] for s in scored]) for metric, total in task.totals.items()}
    return {metric: float(total) for metric, total in totals.items() if is_number(total)}
