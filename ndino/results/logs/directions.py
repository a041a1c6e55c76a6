"""Whether more or less of a metric is better, by its name: sample logs do not say it."""

from __future__ import annotations

import re

_LOWER = frozenset(
    {
        *(
            "wer",
            "cer",
            "ter",
            "mer",
            "err",
            "error",
            "errors",
            "loss",
            "nll",
            "ppl",
            "perplexity",
            "bpb",
            "bits",
        ),
        *("mse", "rmse", "mae", "distance", "brier", "ece", "chair", "hallucination", "hallucinations"),
        *("toxicity", "fpr", "fnr", "latency"),
    }
)
_HIGHER = frozenset(
    {
        *("acc", "accuracy", "em", "exact", "match", "correct", "correctness", "right", "robust", "contains"),
        *(
            "f1",
            "precision",
            "recall",
            "auc",
            "auroc",
            "mcc",
            "iou",
            "map",
            "pass",
            "mc1",
            "mc2",
            "win",
            "rating",
        ),
        *(
            "anls",
            "bleu",
            "bleu4",
            "rouge",
            "rouge1",
            "rouge2",
            "rougel",
            "rougelsum",
            "chrf",
            "chrf++",
            "meteor",
        ),
        *(
            "cider",
            "spice",
            "bertscore",
            "bleurt",
            "comet",
            "similarity",
            "substring",
            "first",
            "score",
            "scores",
        ),
    }
)
# Said of either: "wer_score" is a word error rate all the same.
_VAGUE = frozenset({"score", "scores", "match"})


def is_lower_better(metric: str) -> bool | None:
    """Whether less of a metric is better, by the last word of its name that is known; None without one."""
    words = re.split(r"[^a-z0-9+]+", metric.partition(",")[0].lower())
    known = [word for word in words if word in _LOWER | _HIGHER]
    clear = [word for word in known if word not in _VAGUE] or known
    return clear[-1] in _LOWER if clear else None
