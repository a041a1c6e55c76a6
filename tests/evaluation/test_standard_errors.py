from __future__ import annotations

import math
from statistics import fmean

import pytest

from ndino.evaluation.standard_errors import standard_error, standard_errors


def test_a_mean_has_the_textbooks():
    # 30 of 100 right: the sample variance is .3 * .7 * 100 / 99
    assert standard_error([1.0] * 30 + [0.0] * 70, fmean) == pytest.approx(math.sqrt(0.21 / 99))


def precision(pairs):
    said = [gold for gold, said in pairs if said]
    return fmean(said) if said else 0.0


def test_a_ratio_of_some_answers_has_the_bootstraps_and_not_that_of_accuracy():
    # Of 100 answers 40 are yes, 30 of them rightly: about sqrt(.75 * .25 / 40).
    pairs = [(1, 1)] * 30 + [(0, 1)] * 10 + [(0, 0)] * 60
    error = standard_error(pairs, precision)
    assert error == pytest.approx(math.sqrt(0.75 * 0.25 / 40), rel=0.15)
    assert error == standard_error(pairs, precision)
    assert error > 1.5 * standard_error([float(gold == said) for gold, said in pairs], fmean)


def test_numbers_that_are_not_averaged_are_resampled():
    assert standard_error([0.0, 1.0] * 50, lambda values: 10 * fmean(values)) == pytest.approx(0.5, rel=0.2)


def test_one_answer_has_none_and_metrics_some_samples_lack_are_left_out():
    assert standard_error([1.0], fmean) is None
    assert standard_errors([{"a": 1.0, "b": 0.0}, {"a": 0.0}], {"a": fmean, "b": fmean}) == {"a": 0.5}


def test_questions_about_one_image_are_one_draw():
    """Ten questions an image that stand or fall together say no more than one of them."""
    once = [1.0] * 12 + [0.0] * 28
    many = [value for value in once for _ in range(10)]
    images = [f"image {row // 10}" for row in range(400)]
    assert standard_error(many, fmean, images) == pytest.approx(standard_error(once, fmean))
    assert standard_error(many, fmean) < 0.4 * standard_error(once, fmean)
    pairs = [(int(value), 1) for value in once]
    repeated = [pair for pair in pairs for _ in range(10)]
    assert standard_error(repeated, precision, images) == pytest.approx(
        standard_error(pairs, precision), rel=0.2
    )
    assert standard_error(many[:10], fmean, images[:10]) is None


def test_one_question_an_image_changes_nothing():
    pairs = [(1, 1)] * 30 + [(0, 1)] * 10 + [(0, 0)] * 60
    images = [f"image {row}" for row in range(100)]
    assert standard_error(pairs, precision, images) == standard_error(pairs, precision)
    assert standard_errors([{"a": x} for x in pairs], {"a": precision}, images) == {
        "a": standard_error(pairs, precision)
    }
