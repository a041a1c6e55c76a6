"""Sign-flip permutation test over images, exact where scores lie on a grid.

Under the null hypothesis the two models could be exchanged on any image, so that the summed difference of an
image is as likely to have the other sign. The distribution of the total over all 2^images sign patterns is
that of a sum of independent two-valued variables: a convolution, no draws.
"""

from __future__ import annotations

import numpy as np

from ndino.results.statistics.clusters import RESAMPLES, SEED

_FINEST = 120  # scores that are multiples of 1/2 to 1/120 are computed exactly
_LARGEST = 500_000_000  # additions of the exact computation; beyond, patterns are drawn
_BATCH_ELEMENTS = 5_000_000
_NEGLIGIBLE = 1e-25
_TOLERANCE = 1e-9  # of the largest total: closer ones are equal


def sign_flip(differences: np.ndarray, *, seed: int = SEED) -> tuple[float, float]:
    """How extreme the total of signed differences is among all sign patterns.

    Args:
        differences: (clusters,) of float.

    Returns:
        The share of patterns whose total is larger in size than the one observed, and the share with an
        equal one. The two-sided p-value is their sum.
    """
    sizes = np.abs(differences[differences != 0])
    if not sizes.size:
        return 0.0, 1.0
    grid = _on_a_grid(sizes)
    if grid is not None:
        observed = abs(int(np.rint(differences * (grid.sum() / sizes.sum())).sum()))
        return _exact(grid, observed)
    total = abs(float(differences.sum()))
    return _enumerated(sizes, total) if 2 ** len(sizes) <= RESAMPLES else _drawn(sizes, total, seed)


def mid_p(differences: np.ndarray, *, seed: int = SEED) -> float:
    """Two-sided p-value of `sign_flip`, equally extreme patterns counted by half; 1 where nothing differs."""
    if not differences.any():
        return 1.0
    larger, equal = sign_flip(differences, seed=seed)
    return min(1.0, larger + equal / 2)


def _on_a_grid(sizes: np.ndarray) -> np.ndarray | None:
    """The sizes as whole numbers of a common unit; None if there is none, or too much to compute."""
    for parts in range(1, _FINEST + 1):
        scaled = sizes * parts
        whole = np.rint(scaled)
        if np.abs(scaled - whole).max() < 1e-6 and whole.min() > 0:
            whole = whole.astype(np.int64)
            return whole if whole.sum() * len(whole) <= _LARGEST else None
    return None


def _exact(sizes: np.ndarray, observed: int) -> tuple[float, float]:
    total = int(sizes.sum())
    values, counts = np.unique(sizes, return_counts=True)
    shares = np.ones(1)  # shares[x]: patterns in which the clusters with a positive sign add up to x
    for value, count in sorted(zip(values.tolist(), counts.tolist(), strict=True), key=lambda each: -each[1]):
        positive = _binomial(count)
        longer = np.zeros(len(shares) + value * count)
        if len(shares) == 1:
            longer[:: value or 1] = positive
        else:
            for times in np.flatnonzero(positive > _NEGLIGIBLE).tolist():
                longer[times * value : times * value + len(shares)] += positive[times] * shares
        shares = longer
    away = np.abs(2 * np.arange(total + 1) - total)
    return float(shares[away > observed].sum()), float(shares[away == observed].sum())


def _binomial(count: int) -> np.ndarray:
    """Probabilities of 0 to ``count`` heads of fair coins."""
    from scipy.special import gammaln

    heads = np.arange(count + 1)
    return np.exp(gammaln(count + 1) - gammaln(heads + 1) - gammaln(count - heads + 1) - count * np.log(2))


def _enumerated(sizes: np.ndarray, observed: float) -> tuple[float, float]:
    """Shares among all patterns."""
    totals = np.zeros(1)
    for size in sizes:
        totals = np.concatenate([totals + size, totals - size])
    away, tolerance = np.abs(totals), _TOLERANCE * sizes.sum()
    larger = away > observed + tolerance
    return float(larger.mean()), float((~larger & (away >= observed - tolerance)).mean())


def _drawn(sizes: np.ndarray, observed: float, seed: int) -> tuple[float, float]:
    """Shares among drawn patterns and the one observed, so that neither p-value is 0."""
    draw = np.random.default_rng(seed)
    step = max(1, _BATCH_ELEMENTS // len(sizes))
    tolerance = _TOLERANCE * sizes.sum()
    larger = equal = 0
    for start in range(0, RESAMPLES, step):
        shape = (min(step, RESAMPLES - start), len(sizes))
        signs = draw.integers(0, 2, size=shape, dtype=np.int8)
        totals = np.abs(2 * (signs @ sizes) - sizes.sum())
        larger += int((totals > observed + tolerance).sum())
        equal += int((np.abs(totals - observed) <= tolerance).sum())
    return larger / (RESAMPLES + 1), (equal + 1) / (RESAMPLES + 1)
