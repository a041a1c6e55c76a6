"""Rows that share an image are not independent: they are added up, and images are what varies.

Several questions about one image stand or fall together. A test or an interval that takes them for
independent claims too much (``python -m benchmarks.type_one_error``). Here rows become one line of sums an
image, and the bootstrap draws whole images.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from ndino.common.bootstrap import CONFIDENCE

RESAMPLES = 9999
SEED = 20241126  # arbitrary, but fixed: a report is repeatable
_BATCH_ELEMENTS = 5_000_000  # numbers held at once while resampling: 40 MB
_FEW_KINDS = 8  # draw kinds of images, not images, if there are at least this many images of a kind

Interval = tuple[float, float]


@dataclass(frozen=True)
class Clusters:
    """The image of each row, as a number: ``codes`` is (rows,) of int, from 0 to ``count`` - 1."""

    codes: np.ndarray
    count: int

    @classmethod
    def of(cls, keys: Sequence[Hashable]) -> Clusters:
        """Clusters of rows with equal keys, numbered in the order in which they first appear."""
        numbers: dict[Hashable, int] = {}
        codes = np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.intp)
        return cls(codes, len(numbers))

    @classmethod
    def single(cls, rows: int) -> Clusters:
        """Every row is a cluster of its own."""
        return cls(np.arange(rows), rows)

    @property
    def are_single(self) -> bool:
        return self.count == len(self.codes)

    def sums(self, *columns: Sequence[float] | np.ndarray) -> np.ndarray:
        """Each column added up by cluster: (count, columns) of float."""
        return np.stack(
            [
                np.bincount(self.codes, np.asarray(column, dtype=float), minlength=self.count)
                for column in columns
            ],
            axis=1,
        )

    @property
    def sizes(self) -> np.ndarray:
        """Rows of each cluster."""
        return np.bincount(self.codes, minlength=self.count)


def resampled_sums(table: np.ndarray, *, resamples: int = RESAMPLES, seed: int = SEED) -> np.ndarray:
    """Draw as many lines of ``table`` as it has, with replacement, and add them up.

    Args:
        table: (clusters, columns) of float.

    Returns:
        (resamples, columns) of float. The same table gives the same numbers.
    """
    draw = np.random.default_rng(seed)
    kinds, counts = np.unique(table, axis=0, return_counts=True)
    clusters = len(table)
    if len(kinds) * _FEW_KINDS <= clusters:
        # How often each kind is drawn is multinomial: the same distribution at a fraction of the draws.
        return draw.multinomial(clusters, counts / clusters, size=resamples) @ kinds
    found = np.empty((resamples, table.shape[1]))
    columns = [np.ascontiguousarray(column) for column in table.T]
    step = max(1, _BATCH_ELEMENTS // clusters)
    for start in range(0, resamples, step):
        rows = draw.integers(0, clusters, size=(min(step, resamples - start), clusters), dtype=np.int32)
        for number, column in enumerate(columns):
            found[start : start + step, number] = column.take(rows).sum(axis=1)
    return found


def cluster_interval(
    table: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray], *, seed: int = SEED
) -> Interval:
    """Percentile interval of a statistic of sums over clusters, such as a mean or F1.

    Args:
        table: (clusters, columns) of float, see `Clusters.sums`.
        statistic: of (draws, columns) to (draws,).
    """
    return percentile_interval(statistic(resampled_sums(table, seed=seed)))


def percentile_interval(values: np.ndarray) -> Interval:
    """The interval at `CONFIDENCE` that resampled values of a statistic give."""
    low, high = np.quantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def ratio(sums: np.ndarray) -> np.ndarray:
    """The first column divided by the second."""
    return sums[:, 0] / sums[:, 1]


def ratio_error(table: np.ndarray) -> float:
    """Standard error of the mean over rows, from (clusters, 2): the sum and the number of rows of each.

    Linearised, with the correction for few clusters; 0 for fewer than two clusters.
    """
    clusters, rows = len(table), table[:, 1].sum()
    if clusters < 2:
        return 0.0
    residuals = table[:, 0] - table[:, 1] * (table[:, 0].sum() / rows)
    return float(np.sqrt((residuals**2).sum() * clusters / (clusters - 1)) / rows)
