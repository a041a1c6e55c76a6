"""Whether more or less of a metric is better, by its name: sample logs do not say it."""

from __future__ import annotations

import re

_LOWER = frozenset(
    {
        *("wer", "cer", "ter", "mer", "err", "error", "errors", "loss", "nll", "ppl", "perplexity", "bpb"),
        *("bits", "mse", "rmse", "mae", "distance", "brier", "ece", "chair", "hallucination"),
        *("hallucinations", "toxicity", "fpr", "fnr", "latency"),
    }
)
_HIGHER = frozenset(
    {
        *("acc", "accuracy", "em", "exact", "match", "correct", "correctness", "right", "robust", "contains"),
        *("f1", "precision", "recall", "auc", "auroc", "mcc", "iou", "map", "pass", "mc1", "mc2", "win"),
        *("rating", "anls", "bleu", "bleu4", "rouge", "rouge1", "rouge2", "rougel", "rougelsum", "chrf"),
        *("chrf++", "meteor", "cider", "spice", "bertscore", "bleurt", "comet", "similarity", "substring"),
        *("first", "score", "scores"),
    }
)
# Errors per word or character of the reference: more than 1 where an answer is longer than that.
_RATES = frozenset({"wer", "cer", "ter"})
_COUNTED = frozenset({"word", "words", "char", "character", "characters", "token", "phoneme", "edit"})
# Said of either: "wer_score" is a word error rate all the same.
_VAGUE = frozenset({"score", "scores", "match"})


def is_lower_better(metric: str) -> bool | None:
    """Whether less of a metric is better, by the last word of its name that is known; None without one."""
    words = _words(metric)
    known = [word for word in words if word in _LOWER | _HIGHER]
    clear = [word for word in known if word not in _VAGUE] or known
    return clear[-1] in _LOWER if clear else None


def may_exceed_one(metric: str) -> bool:
    """Whether a metric is by its name an error rate without upper bound, such as the word error rate."""
    words = {*_words(metric)}
    named = bool(words & _RATES) or ({"error", "rate"} <= words and bool(words & _COUNTED))
    return named and is_lower_better(metric) is True


def _words(metric: str) -> list[str]:
    """The words of a metric's name without its filter."""
    return re.split(r"[^a-z0-9+]+", metric.partition(",")[0].lower())
