"""95 % intervals of scores and of differences, by image where an image has several questions.

Where every image has one question, closed forms hold (Wilson's, Agresti and Min's). Otherwise images are
drawn with replacement; the result is never narrower than the closed form's, which is the better one when few
answers differ. A bootstrap of scores that are all equal has no width: `constant_interval` is for these.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
from statsmodels.stats import proportion

from ndino.common.bootstrap import CONFIDENCE, bootstrap
from ndino.results.statistics.clusters import (
    RESAMPLES,
    SEED,
    Clusters,
    Interval,
    cluster_interval,
    percentile_interval,
    ratio,
)
from ndino.results.statistics.paired import discordant, is_binary

# The ends of a score, and of a difference of two. Error rates may be above 1.
SCORES: Interval = (0.0, 1.0)
DIFFERENCES: Interval = (-1.0, 1.0)

# Without annotations: what a type checker infers from its code is None or a whole table among others.
proportion_confint: Callable[..., Any] = proportion.proportion_confint


def wilson_interval(successes: int, n: int) -> Interval:
    """Wilson's score interval for a proportion. Raises ValueError unless 0 <= successes <= n and n > 0."""
    if not 0 <= successes <= n or n == 0:
        raise ValueError(f"{successes} successes of {n} is not a proportion")
    low, high = proportion_confint(successes, n, alpha=1 - CONFIDENCE, method="wilson")
    return max(0.0, float(low)), min(1.0, float(high))


def constant_interval(value: float, n: int, bounds: Interval = SCORES) -> Interval:
    """Interval for the mean of scores that are all equal in ``n`` independent draws.

    None of ``n`` scores differs from ``value``, so Wilson's interval bounds the share of those that do by
    z² / (n + z²): the "rule of three" (Hanley and Lippman-Hand, 1983) by his formula. At worst all of them
    lie at one end of ``bounds``. For 0 and for 1 this is Wilson's own interval.

    Args:
        bounds: of a score; widened to ``value`` where that is outside.

    Raises ValueError unless n > 0.
    """
    others = wilson_interval(0, n)[1]
    return value - others * max(0.0, value - bounds[0]), value + others * max(0.0, bounds[1] - value)


def bootstrap_interval(
    values: Sequence[float],
    images: Clusters | None = None,
    *,
    bounds: Interval = SCORES,
    seed: int = SEED,
) -> Interval:
    """Percentile bootstrap interval for the mean of fractional scores; images are drawn if given.

    Equal scores have `constant_interval`, over images if given, for scores within ``bounds``. Raises
    ValueError without scores.
    """
    data = np.asarray(values, dtype=float)
    if data.size == 0:
        raise ValueError("no scores to resample")
    if np.all(data == data[0]):
        return constant_interval(float(data[0]), data.size if images is None else images.count, bounds)
    if images is not None and not images.are_single:
        return cluster_interval(images.sums(data, np.ones(len(data))), ratio, seed=seed)
    return bootstrap(np.mean, data, resamples=RESAMPLES, seed=seed).interval


def score_interval(
    values: Sequence[float],
    images: Clusters | None = None,
    *,
    fractional: bool | None = None,
    seed: int = SEED,
) -> Interval:
    """Interval for a mean score.

    Args:
        images: which rows share an image; None if none do.
        fractional: whether the metric can give other scores than 0 and 1, even if these are all 0 or 1.
            Default: whether one of these does.
    """
    if fractional or not is_binary(values):
        return bootstrap_interval(values, images, seed=seed)
    wilson = wilson_interval(int(sum(values)), len(values))
    if images is None or images.are_single:
        return wilson
    return _wider(wilson, bootstrap_interval(values, images, seed=seed))


def difference_interval(
    a: Sequence[float],
    b: Sequence[float],
    images: Clusters | None = None,
    *,
    fractional: bool | None = None,
    seed: int = SEED,
) -> Interval:
    """Interval for mean(a) - mean(b) on the same rows; ``images`` and ``fractional`` as in `score_interval`.

    For 0/1 scores and one question an image this is Agresti and Min's (2005), which adds half a document to
    each cell of the 2x2 table; a bootstrap would give zero width when no document changed, and too narrow an
    interval when few did.
    """
    n01, n10 = discordant(a, b)
    differences = np.asarray(a, dtype=float) - np.asarray(b, dtype=float)
    if fractional or not (is_binary(a) and is_binary(b)):
        return bootstrap_interval(differences.tolist(), images, bounds=DIFFERENCES, seed=seed)
    n = len(a) + 2
    difference = (n10 - n01) / n
    deviation = math.sqrt((n10 + n01 + 1) - (n10 - n01) ** 2 / n) / n
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    closed = max(-1.0, difference - z * deviation), min(1.0, difference + z * deviation)
    if images is None or images.are_single:
        return closed
    return _wider(closed, bootstrap_interval(differences.tolist(), images, bounds=DIFFERENCES, seed=seed))


def _wider(first: Interval, second: Interval) -> Interval:
    return min(first[0], second[0]), max(first[1], second[1])


def f1_score(true_positives: int, false_positives: int, false_negatives: int) -> float:
    """Harmonic mean of precision and recall; 0 if there are neither positives nor positive predictions."""
    total = 2 * true_positives + false_positives + false_negatives
    return 2 * true_positives / total if total else 0.0


def bootstrap_f1_interval(
    gold: Sequence[bool], predicted: Sequence[bool], images: Clusters | None = None, *, seed: int = SEED
) -> Interval:
    """Percentile bootstrap interval for F1 over (gold, predicted) pairs; images are drawn if given.

    Raises ValueError for bad lengths.

    Resampling documents is the same as drawing the four cell counts from a multinomial, which costs the same
    for any number of documents; `bootstrap` would draw every document 9,999 times. An F1 of 0 or 1 is the
    same in every draw: then the interval is Wilson's for the share of true positives among the documents that
    are no true negatives, J, of which F1 is 2J / (1 + J).
    """
    if not gold or len(gold) != len(predicted):
        raise ValueError(
            f"gold and predicted must be non-empty and of equal length, not {len(gold)} and {len(predicted)}"
        )
    hits = sum(truth and said for truth, said in zip(gold, predicted, strict=True))
    positives = sum(truth or said for truth, said in zip(gold, predicted, strict=True))
    if hits in (0, positives):
        shares = wilson_interval(hits, positives) if positives else SCORES
        low, high = (2 * share / (1 + share) for share in shares)
        return low, high
    if images is not None and not images.are_single:
        truth, said = np.asarray(gold, dtype=bool), np.asarray(predicted, dtype=bool)
        cells = images.sums(truth & said, ~truth & said, truth & ~said)
        return cluster_interval(cells, _f1_scores, seed=seed)
    pairs = list(zip(gold, predicted, strict=True))
    counts = np.array(
        [pairs.count(cell) for cell in [(True, True), (False, True), (True, False), (False, False)]]
    )
    draws = np.random.default_rng(seed).multinomial(len(pairs), counts / len(pairs), size=RESAMPLES)
    return percentile_interval(_f1_scores(draws))


def _f1_scores(sums: np.ndarray) -> np.ndarray:
    """F1 of draws of true positives, false positives and false negatives, in the first three columns."""
    total = 2 * sums[:, 0] + sums[:, 1] + sums[:, 2]
    return 2 * sums[:, 0] / np.where(total == 0, 1, total)
