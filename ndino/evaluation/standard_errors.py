"""Standard errors of scores, that is how far a score would move with another sample of questions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

import numpy as np

from ndino.common.bootstrap import bootstrap

RESAMPLES = 200
SEED = 20241126


def standard_error(values: Sequence[Any], total: Callable[[Sequence[Any]], float]) -> float | None:
    """The standard error of ``total(values)``, where each value is what one question contributes.

    A mean of numbers has the textbook's formula. Anything else (precision, recall, F1, a yes ratio) has the
    bootstrap's: the standard deviation over resamples of the questions. None for fewer than two questions.
    """
    if len(values) < 2:
        return None
    numbers = all(isinstance(value, (int, float)) for value in values)
    if numbers and math.isclose(total(values), fmean(values), rel_tol=1e-9, abs_tol=1e-12):
        return stdev(values) / math.sqrt(len(values))

    def resampled(rows: np.ndarray) -> float:
        return float(total([values[row] for row in rows]))

    rows = np.arange(len(values))
    return bootstrap(resampled, rows, resamples=RESAMPLES, seed=SEED, vectorized=False).standard_error


def standard_errors(
    samples: Sequence[Mapping[str, Any]], totals: Mapping[str, Callable[[Sequence[Any]], float]]
) -> dict[str, float]:
    """The standard error of each metric in ``totals`` that every sample has."""
    errors = {
        metric: standard_error([sample[metric] for sample in samples], total)
        for metric, total in totals.items()
        if all(metric in sample for sample in samples)
    }
    return {metric: error for metric, error in errors.items() if error is not None}
