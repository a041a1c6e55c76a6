"""Tests of two models on the same rows: by image, and the paper's McNemar test beside it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
from statsmodels.stats import contingency_tables, multitest

from ndino.results.statistics.clusters import SEED, Clusters, ratio_error
from ndino.results.statistics.permutations import mid_p, sign_flip

ALPHA = 0.05
POWER = 0.8  # with which the detectable difference would have been shown
EXACT_BELOW = 25  # discordant pairs, by which McNemar's test is exact or approximate, as in the paper
_NEGLIGIBLE = 1e-9
_PRECISION = 1e-6  # of the share of differing images that is searched

# Without annotations: what a type checker infers from their code is None or a whole table among others.
mcnemar: Callable[..., Any] = contingency_tables.mcnemar
multipletests: Callable[..., Any] = multitest.multipletests


@dataclass(frozen=True)
class PairedTest:
    """Result of a two-sided test on paired scores that takes rows for independent.

    ``n01`` counts rows on which b scored higher than a (for 0/1 scores: a wrong, b right), ``n10`` those on
    which a scored higher than b.
    """

    p: float
    n01: int
    n10: int
    test: Literal["exact", "chi-square", "permutation"]


@dataclass(frozen=True)
class ImageTest:
    """Result of the two-sided test by image.

    Attributes:
        p: mid-p value of the sign-flip test.
        difference: mean of a minus mean of b over the different questions.
        error: standard error of that difference, by image.
        questions, images: how many different ones there are.
        differing: effective number of images on which a and b differ: their number if all differ by the same
            size, fewer if some weigh more.
        size: by how much such an image differs, in questions; 0 if none does.
    """

    p: float
    difference: float
    error: float
    questions: int
    images: int
    differing: float
    size: float


def is_binary(values: Sequence[float]) -> bool:
    """Whether every score is exactly 0 or 1."""
    return all(value in (0, 1) for value in values)


def discordant(a: Sequence[float], b: Sequence[float]) -> tuple[int, int]:
    """Count (n01, n10): rows on which b scored higher, rows on which a did.

    Raises ValueError for empty scores or different lengths.
    """
    if not len(a) or len(a) != len(b):
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
    """Two-sided sign-flip permutation test on the mean difference, every row by itself.

    Exact if the scores are multiples of a common unit, otherwise a seeded sample of sign patterns.
    """
    n01, n10 = discordant(a, b)
    larger, equal = sign_flip(np.asarray(a, dtype=float) - np.asarray(b, dtype=float), seed=seed)
    return PairedTest(min(1.0, larger + equal), n01, n10, "permutation")


def paired_test(a: Sequence[float], b: Sequence[float], *, seed: int = SEED) -> PairedTest:
    """The paper's test, McNemar's, for 0/1 scores; the permutation test if any score is fractional."""
    if is_binary(a) and is_binary(b):
        return mcnemar_test(*discordant(a, b))
    return permutation_test(a, b, seed=seed)


def image_test(
    a: Sequence[float],
    b: Sequence[float],
    images: Clusters | None = None,
    questions: Clusters | None = None,
    *,
    seed: int = SEED,
) -> ImageTest:
    """Sign-flip test over images on the mean difference, with mid-p.

    Args:
        images: which rows share an image; None if none do.
        questions: which rows ask the same question about the same image, and count as one; None if none do.

    Raises:
        ValueError: empty scores or different lengths.
    """
    discordant(a, b)
    rows = len(a)
    images, questions = images or Clusters.single(rows), questions or Clusters.single(rows)
    sums = questions.sums(np.asarray(a, dtype=float) - np.asarray(b, dtype=float), np.ones(rows))
    differences = sums[:, 0] / sums[:, 1]
    image_of = np.empty(questions.count, dtype=np.intp)
    image_of[questions.codes] = images.codes
    by_image = Clusters(image_of, images.count).sums(differences, np.ones(questions.count))
    total, squares = float(np.abs(by_image[:, 0]).sum()), float((by_image[:, 0] ** 2).sum())
    return ImageTest(
        p=mid_p(by_image[:, 0], seed=seed),
        difference=float(differences.mean()),
        error=ratio_error(by_image),
        questions=questions.count,
        images=images.count,
        differing=total**2 / squares if squares else 0.0,
        size=squares / total if total else 0.0,
    )


def detectable_difference(test: ImageTest, *, tests: int = 1) -> float | None:
    """The true difference that the test would have shown with a power of ``POWER``.

    The images that do differ count as chance, and a share of the others differs in one direction: the share
    at which the sign-flip test has that power. They add to the error that was seen, so 2.8 standard errors
    alone would be too few, the more so the fewer images differ.

    Args:
        tests: of the family; the level is that of Holm's first step.

    Returns:
        None if no difference below 1 would have been shown.
    """
    level = ALPHA / tests
    normal = NormalDist()
    found = (normal.inv_cdf(1 - level / 2) + normal.inv_cdf(POWER)) * test.error
    rate = _detectable_rate(test.images, test.differing / test.images, level)
    by_image, size = test.questions / test.images, test.size
    if test.differing < _fewest_shown(level):
        # Too few differ to tell by how much an image differs: by all its questions.
        size = max(size, by_image)
    found = max(found, rate * size / by_image)
    return found if found < 1 else None


def _fewest_shown(level: float) -> int:
    """Fewest images, all differing in the same direction, that the test shows: mid-p is 2^-images."""
    return math.floor(-math.log2(level)) + 1


def _detectable_rate(images: int, chance: float, level: float) -> float:
    """Share of images differing in one direction that is shown with ``POWER``; 1 if no smaller one is.

    Args:
        chance: share of the other images that differ, in either direction alike.
    """
    from scipy.optimize import root_scalar

    def missing(rate: float) -> float:
        return POWER - _power(images, rate, chance, level)

    if missing(1 - _PRECISION) > 0:
        return 1.0
    return float(root_scalar(missing, bracket=(_PRECISION, 1 - _PRECISION), xtol=_PRECISION).root)


def _power(images: int, rate: float, chance: float, level: float) -> float:
    """Probability that mid-p is below ``level`` in favour of the better model; all images weigh the same."""
    from scipy.stats import binom

    other = (1 - rate) * chance / 2
    differing = rate + 2 * other
    few, many = binom.ppf([_NEGLIGIBLE, 1 - _NEGLIGIBLE], images, differing)
    counts = np.arange(int(few), int(many) + 1)
    # Of `counts` differing images, the fewest for the better model at which mid-p is below the level.
    needed = np.maximum(binom.isf(level / 2, counts, 0.5), 0)
    needed += binom.sf(needed, counts, 0.5) + binom.pmf(needed, counts, 0.5) / 2 >= level / 2
    shown = binom.sf(needed - 1, counts, (rate + other) / differing)
    return float((binom.pmf(counts, images, differing) * shown).sum())


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm-corrected p-values, in the order given."""
    if not p_values:
        return []
    return [float(p) for p in multipletests(p_values, alpha=ALPHA, method="holm")[1]]
