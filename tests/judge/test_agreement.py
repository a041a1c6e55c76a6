"""How far verdicts agree with labels, in numbers that can be worked out by hand."""

from __future__ import annotations

import pytest

from ndino.judge.agreement import agreement_of


def test_by_hand():
    # Right: 3 called so, 1 not. Not right: 1 called right, 4 not, 1 unreadable.
    labels = [1, 1, 1, 1, 0, 0, 0, 0.5, 0.5, 0]
    verdicts = [1, 1, 1, 0.5, 1, 0, 0, 0, 0.5, None]
    found = agreement_of(labels, verdicts)
    assert (found.rows, found.unreadable) == (10, 1)
    assert found.agreement == 0.7 and found.three_levels == 0.6
    assert (found.precision, found.recall, found.f1) == (0.75, 0.75, 0.75)
    # By chance: both right 0.4 * 0.4, both not right 0.6 * 0.5.
    assert found.kappa == pytest.approx((0.7 - 0.46) / (1 - 0.46))
    low, high = found.kappa_interval
    assert low < found.kappa < high and (low, high) == agreement_of(labels, verdicts).kappa_interval
    assert found.agreement_interval[0] < 0.7 < found.agreement_interval[1]


def test_full_agreement_chance_and_none():
    labels = [1, 0] * 20
    assert agreement_of(labels, labels).kappa == 1
    assert agreement_of(labels, [1] * 40).kappa == 0
    assert agreement_of(labels, [1 - label for label in labels]).kappa == -1
    nothing = agreement_of(labels, [None] * 40)
    assert (nothing.kappa, nothing.agreement, nothing.precision, nothing.f1) == (0, 0, 0, 0)
    assert agreement_of([0], [0]).kappa == 0  # one class alone: nothing beyond chance can be seen
    with pytest.raises(ValueError, match="no rows"):
        agreement_of([], [])


def test_the_interval_is_about_as_wide_as_the_formula_of_large_samples_says():
    labels, verdicts = [1] * 50 + [0] * 50, [1] * 40 + [0] * 10 + [1] * 10 + [0] * 40
    found = agreement_of(labels, verdicts)
    assert found.kappa == pytest.approx(0.6)
    error = (0.8 * 0.2 / (100 * 0.25)) ** 0.5
    assert found.kappa_interval == pytest.approx((0.6 - 1.96 * error, 0.6 + 1.96 * error), abs=0.03)
