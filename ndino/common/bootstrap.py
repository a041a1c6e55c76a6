"""The bootstrap of scipy, seeded: for intervals and standard errors that have no closed form.

The number of draws is the caller's, since it depends on what one draw costs: 9,999 for the intervals of the
report, 1,000 for perplexity, 200 for metrics whose total is Python code. Changing one moves
published numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

CONFIDENCE = 0.95
_BATCH_ELEMENTS = 5_000_000  # numbers held at once while resampling: 40 MB


@dataclass(frozen=True)
class Bootstrap:
    """A percentile interval at `CONFIDENCE`, and the standard deviation of the statistic over the draws."""

    interval: tuple[float, float]
    standard_error: float


def bootstrap(
    statistic: Callable[..., Any],
    *columns: Sequence[float] | np.ndarray,
    resamples: int,
    seed: int,
    vectorized: bool = True,
) -> Bootstrap:
    """Resample rows with replacement, the same rows in every column. The same input gives the same numbers.

    Args:
        statistic: called with resampled columns. Vectorized: arrays of (draws, rows) and ``axis``, returns
            (draws,); otherwise arrays of (rows,), returns a number.
        columns: at least one, all of the same length, of two rows or more.

    Raises:
        ValueError: fewer than two rows, or columns of different length.
    """
    # Takes a second to import, which the help of commands would wait for.
    from scipy import stats

    outcome = stats.bootstrap(
        columns,
        statistic,
        paired=True,
        vectorized=vectorized,
        method="percentile",
        confidence_level=CONFIDENCE,
        n_resamples=resamples,
        batch=max(1, _BATCH_ELEMENTS // len(columns[0])),
        rng=np.random.default_rng(seed),
    )
    low, high = outcome.confidence_interval
    return Bootstrap((float(low), float(high)), float(outcome.standard_error))
