"""Standard errors of scores, that is how far a score would move with other images and questions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from math import fsum
from statistics import fmean
from typing import Any

import numpy as np

from ndino.common.bootstrap import bootstrap
from ndino.evaluation.tasks.framework.question_groups import counted_rows

RESAMPLES = 200
SEED = 20241126


def standard_error(
    values: Sequence[Any], total: Callable[[Sequence[Any]], float], images: Sequence[str] | None = None
) -> float | None:
    """The standard error of ``total(values)``, where each value is what one question contributes.

    Questions about the same image vary together, so images are what is drawn. A mean of numbers has the
    textbook's formula for clusters (with one question an image, that of the mean). Anything else (precision,
    recall, F1, a yes ratio) has the bootstrap's: the standard deviation over resamples of the images. None
    for fewer than two images.

    Args:
        images: what each question's image is; None if every question has its own.
    """
    rows_of: dict[Any, list[int]] = {}
    for row, image in enumerate(images or range(len(values))):
        rows_of.setdefault(image, []).append(row)
    clusters = list(rows_of.values())
    if len(clusters) < 2:
        return None
    numbers = all(isinstance(value, (int, float)) for value in values)
    if numbers and math.isclose(total(values), mean := fmean(values), rel_tol=1e-9, abs_tol=1e-12):
        squares = fsum(fsum(values[row] - mean for row in rows) ** 2 for rows in clusters)
        return math.sqrt(squares * len(clusters) / (len(clusters) - 1)) / len(values)

    def resampled(drawn: np.ndarray) -> float:
        return float(total([values[row] for number in drawn for row in clusters[number]]))

    numbered = np.arange(len(clusters))
    return bootstrap(resampled, numbered, resamples=RESAMPLES, seed=SEED, vectorized=False).standard_error


def standard_errors(
    samples: Sequence[Mapping[str, Any]],
    totals: Mapping[str, Callable[[Sequence[Any]], float]],
    images: Sequence[str] | None = None,
) -> dict[str, float]:
    """The standard error of each metric in ``totals`` that every sample has; ``images`` as above."""
    errors: dict[str, float] = {}
    for metric, total in totals.items():
        if not all(metric in sample for sample in samples):
            continue
        values = [sample[metric] for sample in samples]
        rows = counted_rows(values)
        shown = None if images is None else [images[row] for row in rows]
        if (error := standard_error([values[row] for row in rows], total, shown)) is not None:
            errors[metric] = error
    return errors
