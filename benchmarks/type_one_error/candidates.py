"""The paired tests that were compared: p-values of many simulated comparisons at once.

Eliasziw and Donner (Statistics in Medicine 1991), Obuchowski (1998), Durkalski and others (2003) and Yang and
others (Biometrical Journal 2010) correct McNemar's test for questions that share an image. The sign-flip
test is the project's own code (`ndino.results.statistics`).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import stats

from benchmarks.type_one_error.designs import Counts
from ndino.results.statistics import EXACT_BELOW, mid_p, sign_flip


def mcnemar(counts: Counts) -> np.ndarray:
    """As in the paper: over all rows, repeats too; with continuity correction, exact for few rows."""
    first, second = counts.rows.T
    discordant = first + second
    far = np.maximum(np.abs(first - second) - 1, 0)
    corrected = stats.chi2.sf(far**2 / np.maximum(discordant, 1), 1)
    exact = np.minimum(1, 2 * stats.binom.cdf(np.minimum(first, second), discordant, 0.5))
    return np.where(discordant < EXACT_BELOW, exact, corrected)


def eliasziw_donner(counts: Counts) -> np.ndarray:
    """McNemar's statistic over a design effect, from an intra-class correlation over the four outcomes."""
    cells = np.stack([counts.both, counts.first, counts.second, counts.none])  # (4, runs, images)
    sizes = cells.sum(axis=0)
    images = sizes.shape[1]
    mean_size = sizes.mean(axis=1)
    typical = mean_size - ((sizes - mean_size[:, None]) ** 2).sum(axis=1) / (
        images * (images - 1) * mean_size
    )
    shares = cells.sum(axis=2) / sizes.sum(axis=1)
    between = ((cells - sizes * shares[:, :, None]) ** 2 / sizes).sum(axis=(0, 2)) / images
    with np.errstate(divide="ignore", invalid="ignore"):
        within = (cells * (sizes - cells) / sizes).sum(axis=(0, 2)) / (images * (mean_size - 1))
        correlation = (between - within) / (between + (typical - 1) * within)
        odds = (1 - correlation) / correlation
        among_discordant = 1 / (1 + (shares[1] + shares[2]) * odds)
        split = counts.first + counts.second
        with_any = (split >= 1).sum(axis=1)
        mean_split = split.sum(axis=1) / with_any
        spread = ((split - mean_split[:, None]) ** 2).sum(axis=1) - (images - with_any) * mean_split**2
        smaller = mean_split - spread / (with_any * (with_any - 1) * mean_split)
        effective = smaller + with_any * (mean_split - smaller)
        inflation = np.nan_to_num(1 + (effective - 1) * among_discordant, nan=1.0)
        difference = (counts.first - counts.second).sum(axis=1)
        return _chi_square(difference**2 / (split.sum(axis=1) * np.maximum(inflation, 1e-9)))


def obuchowski(counts: Counts) -> np.ndarray:
    """The difference against a variance between images."""
    images = counts.first.shape[1]
    return _chi_square((images - 1) / images * _yang_statistic(counts))


def yang(counts: Counts) -> np.ndarray:
    """Obuchowski's without the factor for few images."""
    return _chi_square(_yang_statistic(counts))


def durkalski(counts: Counts) -> np.ndarray:
    """Each image's mean difference weighs the same, however many questions it has."""
    sizes = counts.both + counts.first + counts.second + counts.none
    return _chi_square(_squares_ratio((counts.first - counts.second) / sizes))


def sign_flips(counts: Counts) -> np.ndarray:
    """The share of sign patterns over images that are as extreme."""
    return np.array([sum(sign_flip(each)) for each in counts.first - counts.second])


def sign_flips_mid(counts: Counts) -> np.ndarray:
    """The same with equally extreme patterns counted by half (mid-p)."""
    return np.array([mid_p(each) for each in counts.first - counts.second])


CANDIDATES: dict[str, Callable[[Counts], np.ndarray]] = {
    "McNemar": mcnemar,
    "Eliasziw & Donner": eliasziw_donner,
    "Obuchowski": obuchowski,
    "Durkalski": durkalski,
    "Yang": yang,
    "sign-flip": sign_flips,
    "sign-flip, mid-p": sign_flips_mid,
}


def _yang_statistic(counts: Counts) -> np.ndarray:
    return _squares_ratio(counts.first - counts.second)


def _squares_ratio(differences: np.ndarray) -> np.ndarray:
    squares = (differences**2).sum(axis=1)
    return differences.sum(axis=1) ** 2 / np.where(squares == 0, 1, squares)


def _chi_square(statistic: np.ndarray) -> np.ndarray:
    return stats.chi2.sf(statistic, 1)
