from __future__ import annotations

import pytest

from ndino.evaluation.standard_errors import standard_error
from ndino.evaluation.tasks.framework.question_groups import (
    RowOfGroup,
    all_right,
    group_scores,
    mean_of_first,
)


def rows(group: str, *right: bool, size: int | None = None) -> list[RowOfGroup]:
    return [RowOfGroup(group, place, size or len(right), each) for place, each in enumerate(right)]


def test_a_group_is_right_if_all_of_its_rows_are():
    values = [*rows("a", True, True), *rows("b", True, False, True), *rows("c", False), *rows("d", True)]
    assert all_right(values) == 0.5
    assert all_right(values[::-1]) == 0.5


def test_a_group_that_a_limit_cuts_off_is_wrong():
    assert all_right([*rows("a", True, True), *rows("b", True, size=2)]) == 0.5


def test_a_group_that_is_drawn_twice_counts_twice():
    right, wrong = rows("a", True, True), rows("b", True, False)
    assert all_right([*right, *right, *wrong]) == pytest.approx(2 / 3)
    cut = rows("c", True, size=2)
    assert all_right([*cut, *cut]) == 0


def test_the_score_stands_in_the_row_of_the_first_place():
    values = [*rows("a", True, True), *rows("b", False, True)]
    logged = group_scores([{"circular": value, "robust": 1.0} for value in values])
    assert logged == [{"circular": 1.0}, {}, {"circular": 0.0}, {}]
    assert group_scores([{"robust": 1.0}]) == [{}]


def test_a_mean_over_the_rows_that_have_a_value():
    assert mean_of_first([1.0, None, None, 0.0]) == 0.5


def test_the_standard_error_is_over_groups_that_are_drawn_whole():
    values, images = [], []
    for number in range(100):
        values += rows(str(number), True, number % 2 == 0)
        images += [str(number)] * 2
    found = standard_error(values, all_right, images)
    assert found is not None and 0.03 < found < 0.07  # of 100 fair coins: 0.05
