"""Confidence intervals and tests for scores on the same questions.

Pure functions on plain sequences. Random draws are seeded, so the same scores give the same numbers. "a" and
"b" are always per-document scores between 0 and 1 of two models (or with right and with shuffled images), for
the same documents in the same order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
from scipy import stats
from statsmodels.stats import contingency_tables, multitest, proportion

from ndino.common.bootstrap import CONFIDENCE, bootstrap

ALPHA = 0.05
EXACT_BELOW = 25  # discordant pairs; McNemar's chi-square approximation is good from here on
RESAMPLES = 9999
SEED = 20241126  # arbitrary, but fixed: a report is repeatable
_BATCH_ELEMENTS = 5_000_000  # float64 values held at once while resampling: 40 MB

# Without annotations: what a type checker infers from their code is None or a whole table among others.
mcnemar: Callable[..., Any] = contingency_tables.mcnemar
multipletests: Callable[..., Any] = multitest.multipletests
proportion_confint: Callable[..., Any] = proportion.proportion_confint

Interval = tuple[float, float]


@dataclass(frozen=True)
class PairedTest:
    """Result of a two-sided test on paired scores.

    ``n01`` counts documents on which b scored higher than a (for 0/1 scores: a wrong, b right), ``n10`` those
    on which a scored higher than b.
    """

    p: float
    n01: int
    n10: int
    test: Literal["exact", "chi-square", "permutation"]


def is_binary(values: Sequence[float]) -> bool:
    """Whether every score is exactly 0 or 1."""
    return all(value in (0, 1) for value in values)


def discordant(a: Sequence[float], b: Sequence[float]) -> tuple[int, int]:
    """Count (n01, n10): documents on which b scored higher, documents on which a did.

    Raises ValueError for empty scores or different lengths.
    """
    if not a or len(a) != len(b):
        raise ValueError(
            f"paired scores must be two non-empty lists of equal length, not {len(a)} and {len(b)}"
        )
    n01 = sum(y > x for x, y in zip(a, b, strict=True))
    n10 = sum(x > y for x, y in zip(a, b, strict=True))
    return n01, n10


def mcnemar_test(n01: int, n10: int) -> PairedTest:
    """McNemar's test from the two discordant counts; concordant pairs do not matter.

    Exact binomial below ``EXACT_BELOW`` discordant pairs, otherwise chi-square with continuity correction.
    """
    exact = n01 + n10 < EXACT_BELOW
    outcome = mcnemar([[0, n01], [n10, 0]], exact=exact, correction=True)
    return PairedTest(min(1.0, float(outcome.pvalue)), n01, n10, "exact" if exact else "chi-square")


def permutation_test(a: Sequence[float], b: Sequence[float], *, seed: int = SEED) -> PairedTest:
    """Two-sided sign-flip permutation test on the mean difference.

    Exact if all sign patterns fit into ``RESAMPLES`` draws, otherwise a seeded sample of them.
    """
    n01, n10 = discordant(a, b)
    differences = np.asarray(a, dtype=float) - np.asarray(b, dtype=float)
    differences = differences[differences != 0]  # flipping the sign of 0 changes nothing
    if differences.size == 0:
        return PairedTest(1.0, 0, 0, "permutation")
    if differences.size == 1:  # both signs are equally extreme; scipy needs two values
        return PairedTest(1.0, n01, n10, "permutation")
    outcome = stats.permutation_test(
        (differences,),
        np.mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=max(1, _BATCH_ELEMENTS // differences.size),
        rng=np.random.default_rng(seed),
    )
    return PairedTest(min(1.0, float(outcome.pvalue)), n01, n10, "permutation")


def paired_test(a: Sequence[float], b: Sequence[float], *, seed: int = SEED) -> PairedTest:
    """McNemar's test for 0/1 scores, the permutation test if any score is fractional."""
    if is_binary(a) and is_binary(b):
        return mcnemar_test(*discordant(a, b))
    return permutation_test(a, b, seed=seed)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm-corrected p-values, in the order given."""
    if not p_values:
        return []
    return [float(p) for p in multipletests(p_values, alpha=ALPHA, method="holm")[1]]


def wilson_interval(successes: int, n: int) -> Interval:
    """Wilson's score interval for a proportion. Raises ValueError unless 0 <= successes <= n and n > 0."""
    if not 0 <= successes <= n or n == 0:
        raise ValueError(f"{successes} successes of {n} is not a proportion")
    low, high = proportion_confint(successes, n, alpha=1 - CONFIDENCE, method="wilson")
    return max(0.0, float(low)), min(1.0, float(high))


def bootstrap_interval(values: Sequence[float], *, seed: int = SEED) -> Interval:
    """Percentile bootstrap interval for the mean of fractional scores. Raises ValueError without scores."""
    data = np.asarray(values, dtype=float)
    if data.size == 0:
        raise ValueError("no scores to resample")
    if data.size == 1 or np.all(data == data[0]):
        return float(data[0]), float(data[0])
    return bootstrap(np.mean, data, resamples=RESAMPLES, seed=seed).interval


def score_interval(values: Sequence[float], *, seed: int = SEED) -> Interval:
    """Interval for a mean score: Wilson for 0/1 scores, bootstrap for fractional ones."""
    if is_binary(values):
        return wilson_interval(int(sum(values)), len(values))
    return bootstrap_interval(values, seed=seed)


def difference_interval(a: Sequence[float], b: Sequence[float], *, seed: int = SEED) -> Interval:
    """Interval for mean(a) - mean(b) on the same documents.

    For 0/1 scores this is Agresti and Min's (2005), which adds half a document to each cell of the 2x2 table;
    a bootstrap would give zero width when no document changed, and too narrow an interval when few did. For
    fractional scores it is the bootstrap.
    """
    n01, n10 = discordant(a, b)
    if not (is_binary(a) and is_binary(b)):
        return bootstrap_interval([x - y for x, y in zip(a, b, strict=True)], seed=seed)
    n = len(a) + 2
    difference = (n10 - n01) / n
    deviation = math.sqrt((n10 + n01 + 1) - (n10 - n01) ** 2 / n) / n
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    return max(-1.0, difference - z * deviation), min(1.0, difference + z * deviation)


def f1_score(true_positives: int, false_positives: int, false_negatives: int) -> float:
    """Harmonic mean of precision and recall; 0 if there are neither positives nor positive predictions."""
    total = 2 * true_positives + false_positives + false_negatives
    return 2 * true_positives / total if total else 0.0


def bootstrap_f1_interval(gold: Sequence[bool], predicted: Sequence[bool], *, seed: int = SEED) -> Interval:
    """Percentile bootstrap interval for F1 over (gold, predicted) pairs. Raises ValueError for bad lengths.

    Resampling documents is the same as drawing the four cell counts from a multinomial, which costs the same
    for any number of documents; `bootstrap` would draw every document 9,999 times.
    """
    if not gold or len(gold) != len(predicted):
        raise ValueError(
            f"gold and predicted must be non-empty and of equal length, not {len(gold)} and {len(predicted)}"
        )
    pairs = list(zip(gold, predicted, strict=True))
    counts = np.array(
        [pairs.count(cell) for cell in [(True, True), (False, True), (True, False), (False, False)]]
    )
    draws = np.random.default_rng(seed).multinomial(len(pairs), counts / len(pairs), size=RESAMPLES)
    scores = [f1_score(int(tp), int(fp), int(fn)) for tp, fp, fn, _ in draws]
    low, high = np.quantile(scores, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)
