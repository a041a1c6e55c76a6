"""lmms-eval's own metrics, as the paper's scores use them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def exact_match_ignoring_case_and_punctuation(answer: str, target: str) -> bool:
    """lmms-eval's exact match of one answer with one target."""
    from lmms_eval.api.metrics import exact_match_hf_evaluate

    matched = exact_match_hf_evaluate([answer], [target], ignore_case=True, ignore_punctuation=True)
    return bool(matched["exact_match"])


def is_mean(total: Callable[..., Any]) -> bool:
    """Whether an aggregation is lmms-eval's mean, which takes values alone and writes no file."""
    from lmms_eval.api.metrics import mean

    return total is mean


def vqa_normalised(answer: str) -> str:
    """An answer as VQA's evaluation server normalises it: English articles, number words and punctuation."""
    from lmms_eval.tasks._task_utils.vqa_eval_metric import EvalAIAnswerProcessor

    return EvalAIAnswerProcessor()(answer)
