from __future__ import annotations

import numpy as np
import pytest

from ndino.common import bootstrap as module
from ndino.common.bootstrap import bootstrap

NUMBERS = np.random.default_rng(1).exponential(size=80)
WEIGHTS = np.random.default_rng(2).integers(1, 9, size=80)


def ratio(values: np.ndarray, weights: np.ndarray, axis: int = -1) -> np.ndarray:
    return values.sum(axis=axis) / weights.sum(axis=axis)


def test_its_draws_are_numpys_seeded_ones_and_the_columns_stay_together():
    """Written out here by hand: scores published before scipy drew them keep their intervals."""
    found = bootstrap(ratio, NUMBERS, WEIGHTS, resamples=1000, seed=3)
    drawn = np.random.default_rng(3).integers(80, size=(1000, 80))
    ratios = NUMBERS[drawn].sum(axis=1) / WEIGHTS[drawn].sum(axis=1)
    assert found.interval == pytest.approx(tuple(np.percentile(ratios, [2.5, 97.5])), rel=1e-12)
    assert found.standard_error == pytest.approx(np.std(ratios, ddof=1), rel=1e-12)


def test_a_statistic_in_plain_python_has_the_same_draws():
    plain = bootstrap(lambda v: sum(v) / len(v), NUMBERS, resamples=200, seed=3, vectorized=False)
    quick = bootstrap(np.mean, NUMBERS, resamples=200, seed=3)
    assert plain.interval == pytest.approx(quick.interval, rel=1e-12)
    assert plain.standard_error == pytest.approx(NUMBERS.std() / np.sqrt(80), rel=0.15)


def test_the_size_of_a_batch_changes_nothing(monkeypatch):
    whole = bootstrap(np.mean, NUMBERS, resamples=500, seed=3)
    monkeypatch.setattr(module, "_BATCH_ELEMENTS", 7 * 80)
    assert bootstrap(np.mean, NUMBERS, resamples=500, seed=3) == whole
    assert bootstrap(np.mean, NUMBERS, resamples=500, seed=4) != whole


@pytest.mark.parametrize("columns", [([1.0],), ([1.0, 2.0], [1.0, 2.0, 3.0])])
def test_what_cannot_be_resampled_is_refused(columns):
    with pytest.raises(ValueError):
        bootstrap(ratio, *columns, resamples=10, seed=0)
