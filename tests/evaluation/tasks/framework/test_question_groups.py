from __future__ import annotations

import math
from dataclasses import replace
from statistics import fmean

import pytest

from ndino.evaluation.standard_errors import standard_error, standard_errors
from ndino.evaluation.tasks.framework.question_groups import (
    RowOfGroup,
    group_scores,
    left_out,
    mean_of_groups,
)


def rows(group: str, *right: bool, size: int | None = None) -> list[RowOfGroup]:
    return [RowOfGroup(group, place, size or len(right), each) for place, each in enumerate(right)]


def test_a_group_is_right_if_all_of_its_rows_are():
    values = [*rows("a", True, True), *rows("b", True, False, True), *rows("c", False), *rows("d", True)]
    assert mean_of_groups(values) == 0.5
    assert mean_of_groups(values[::-1]) == 0.5


def test_a_group_without_all_of_its_rows_counts_neither_as_right_nor_as_wrong():
    cut = [*rows("b", True, size=2), *rows("c", False, True, size=3)]
    values = [*rows("a", True, True), *rows("d", False, True), *cut]
    assert mean_of_groups(values) == 0.5
    assert math.isnan(mean_of_groups(cut))
    scored = [{"robust": 1.0, "circular": value} for value in values]
    assert group_scores(scored) == [{"circular": 1.0}, {}, {"circular": 0.0}, {}, {}, {}, {}]
    assert left_out(scored) == "2 questions lack rows and are left out of circular"
    assert left_out(scored[:-2]) == "1 question lacks rows and is left out of circular"
    assert left_out(scored[:4]) is None and left_out([{"robust": 1.0}]) is None


def test_a_group_that_is_drawn_twice_counts_twice():
    right, wrong = rows("a", True, True), rows("b", True, False)
    assert mean_of_groups([*right, *right, *wrong]) == pytest.approx(2 / 3)
    cut = rows("c", True, size=2)
    assert mean_of_groups([*right, *wrong, *cut, *cut]) == 0.5


def test_the_score_stands_in_the_row_of_the_first_place():
    values = [*rows("a", True, True), *rows("b", False, True)]
    logged = group_scores([{"circular": value, "robust": 1.0} for value in values])
    assert logged == [{"circular": 1.0}, {}, {"circular": 0.0}, {}]
    assert group_scores([{"robust": 1.0}]) == [{}]


def test_the_first_row_alone_is_the_score_of_whole_groups():
    values = [*rows("a", True, False), *rows("b", False, True), *rows("c", True, size=2)]
    first = [replace(value, first_alone=True) for value in values]
    assert mean_of_groups(first) == 0.5
    both = [{"circular": row, "plain": one} for row, one in zip(values, first, strict=True)]
    assert group_scores(both) == [
        {"circular": 0.0, "plain": 1.0},
        {},
        {"circular": 0.0, "plain": 0.0},
        {},
        {},
    ]
    assert left_out(both) == "1 question lacks rows and is left out of circular, plain"


def test_a_standard_error_is_over_whole_groups():
    values = [*rows("a", True, True), *rows("b", True, size=2), *rows("c", True, False)]
    samples = [{"circular": value, "robust": float(value.right)} for value in values]
    totals = {"circular": mean_of_groups, "robust": fmean}
    errors = standard_errors(samples, totals, [*"aabcc"])
    whole = [*samples[:2], *samples[3:]]
    assert errors["circular"] == standard_errors(whole, totals, [*"aacc"])["circular"] > 0
    assert errors["robust"] == standard_error([1.0, 1.0, 1.0, 1.0, 0.0], fmean, [*"aabcc"])
    assert [*standard_errors(samples[:3], totals, [*"aab"])] == ["robust"]


def test_the_standard_error_is_over_groups_that_are_drawn_whole():
    values, images = [], []
    for number in range(100):
        values += rows(str(number), True, number % 2 == 0)
        images += [str(number)] * 2
    found = standard_error(values, mean_of_groups, images)
    assert found is not None and 0.03 < found < 0.07  # of 100 fair coins: 0.05
