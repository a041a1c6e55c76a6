"""Known values worked out by hand, and properties that must hold for any scores."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ndino.results import statistics as s
from tests.properties import examples

binary = st.integers(0, 1).map(float)
fraction = st.sampled_from([0.0, 0.3, 0.6, 0.9, 1.0])


def pairs(scores):
    return st.lists(st.tuples(scores, scores), min_size=1, max_size=60).map(
        lambda rows: tuple(zip(*rows, strict=True))
    )


def test_mcnemar_is_the_exact_binomial_for_few_discordant_pairs():
    # 2 * (C(13,0) + C(13,1) + C(13,2) + C(13,3)) / 2**13 = 2 * 378 / 8192
    test = s.mcnemar_test(3, 10)
    assert test == s.PairedTest(pytest.approx(756 / 8192), 3, 10, "exact")


def test_mcnemar_is_the_corrected_chi_square_from_25_discordant_pairs():
    # (|20 - 5| - 1)**2 / 25 = 7.84 on one degree of freedom
    test = s.mcnemar_test(5, 20)
    assert test.test == "chi-square"
    assert test.p == pytest.approx(math.erfc(math.sqrt(7.84 / 2)))
    assert s.mcnemar_test(4, 20).test == "exact"


@pytest.mark.parametrize("n01", [0, 12, 13, 40])
def test_equal_discordant_counts_are_no_difference(n01):
    assert s.mcnemar_test(n01, n01).p > 0.8


def test_discordant_counts_name_the_better_side():
    assert s.discordant([0, 0, 1, 1], [1, 0, 0, 1]) == (1, 1)
    assert s.discordant([0, 0.3], [1, 0.6]) == (2, 0)


@pytest.mark.parametrize("a, b", [([], []), ([1], [1, 0])])
def test_unpaired_scores_are_refused(a, b):
    with pytest.raises(ValueError, match="equal length"):
        s.paired_test(a, b)


def test_permutation_test_enumerates_few_flips():
    # Of the 2**4 sign patterns only all-plus and all-minus are as extreme.
    assert s.permutation_test([1, 1, 1, 0.9, 0.5], [0, 0, 0, 0, 0.5]).p == pytest.approx(2 / 16)


def test_permutation_test_agrees_with_mcnemar_on_binary_scores():
    a, b = [1.0] * 14 + [0.0] * 4 + [1.0] * 50, [0.0] * 14 + [1.0] * 4 + [1.0] * 50
    assert s.permutation_test(a, b).p == pytest.approx(s.mcnemar_test(4, 14).p, abs=0.02)


def test_one_fractional_score_calls_for_the_permutation_test():
    assert s.paired_test([1, 0, 1], [0, 0, 1]).test == "exact"
    assert s.paired_test([1, 0, 0.3], [0, 0, 1]).test == "permutation"


@given(pairs(st.one_of(binary, fraction)))
def test_tests_are_symmetric_seeded_and_give_a_probability(scores):
    a, b = scores
    forward, again, backward = s.paired_test(a, b), s.paired_test(a, b), s.paired_test(b, a)
    assert forward == again
    assert 0 < forward.p <= 1
    assert (forward.n01, forward.n10) == (backward.n10, backward.n01)
    assert forward.p == pytest.approx(backward.p, abs=0.03)
    assert s.paired_test(a, a).p == 1


def test_holm_known_values():
    # sorted .01 .03 .04 times 3 2 1, then made monotone
    assert s.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert s.holm([]) == []


@examples(20)  # statsmodels collects garbage in every call
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_never_lowers_a_p_value_nor_exceeds_bonferroni(p_values):
    corrected = s.holm(p_values)
    for raw, holm in zip(p_values, corrected, strict=True):
        assert raw <= holm + 1e-12
        assert holm <= min(1, raw * len(p_values)) + 1e-12


def test_wilson_known_values():
    assert s.wilson_interval(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert s.wilson_interval(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)


@pytest.mark.parametrize("successes, n", [(0, 0), (3, 2), (-1, 4)])
def test_wilson_refuses_what_is_no_share(successes, n):
    with pytest.raises(ValueError):
        s.wilson_interval(successes, n)


@given(st.lists(st.one_of(binary, fraction), min_size=1, max_size=60))
def test_a_score_lies_in_its_interval(values):
    low, high = s.score_interval(values)
    mean = sum(values) / len(values)
    assert 0 <= low <= mean + 1e-9
    assert mean - 1e-9 <= high <= 1


def test_all_wrong_answers_do_not_claim_certainty():
    assert s.score_interval([0.0] * 10)[1] == pytest.approx(0.2775, abs=1e-4)


CONSTANTS = [0.0, 1e-9, 0.1, 0.3, 0.5, 2 / 3, 0.9, 1.0]


@pytest.mark.parametrize("value", CONSTANTS)
@pytest.mark.parametrize("n", [1, 2, 10, 1000])
def test_equal_scores_have_an_interval_that_narrows_with_their_number(value, n):
    low, high = s.score_interval([value] * n, fractional=True)
    assert 0 <= low <= value <= high <= 1
    # Of n scores none differs; those that do are 0 or 1 at worst.
    others = 1.959964**2 / (n + 1.959964**2)
    assert (low, high) == pytest.approx((value * (1 - others), value + (1 - value) * others), abs=1e-6)
    wider = s.score_interval([value] * max(1, n // 2), fractional=True)
    assert wider[0] <= low and high <= wider[1]
    assert s.bootstrap_interval([value] * n) == (low, high)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_of_all_wrong_or_all_right_it_is_wilson_s(value):
    assert s.score_interval([value] * 25, fractional=True) == pytest.approx(s.score_interval([value] * 25))


def test_judged_scores_that_are_all_a_half():
    assert s.score_interval([0.5] * 100) == pytest.approx((0.4815, 0.5185), abs=1e-4)
    # Five questions about each of 20 images are no more than 20.
    images = s.Clusters.of([row // 5 for row in range(100)])
    assert s.score_interval([0.5] * 100, images) == s.score_interval([0.5] * 20)


def test_an_error_rate_above_one_is_taken_for_the_end_of_its_scale():
    low, high = s.score_interval([2.5] * 10)
    assert (low, high) == pytest.approx((2.5 * (1 - 0.2775), 2.5), abs=1e-3)


@pytest.mark.parametrize("difference", [-1.0, -0.5, 0.0, 0.25, 1.0])
def test_equal_differences_have_an_interval(difference):
    a, b = [max(difference, 0.0)] * 40, [max(-difference, 0.0)] * 40
    low, high = s.difference_interval(a, b, fractional=True)
    others = s.wilson_interval(0, 40)[1]
    wanted = (difference - others * (1 + difference), difference + others * (1 - difference))
    assert (low, high) == pytest.approx(wanted) and low < high
    few = s.difference_interval(a[:2], b[:2], fractional=True)
    assert few[0] <= low and high <= few[1] and few[1] - few[0] > high - low


def test_bootstrap_interval_is_close_to_the_normal_one():
    values = [0.0, 0.3, 0.6, 1.0] * 100
    deviation = math.sqrt(sum((v - 0.475) ** 2 for v in values) / 400)
    low, high = s.bootstrap_interval(values)
    assert (low, high) == pytest.approx(
        (0.475 - 1.96 * deviation / 20, 0.475 + 1.96 * deviation / 20), abs=0.005
    )


def test_difference_interval_known_value():
    # n10 = 10, n01 = 3, n = 40: (7/42) +- 1.96 * sqrt(14 - 49/42) / 42
    low, high = s.difference_interval([1.0] * 10 + [0.0] * 30, [0.0] * 10 + [1.0] * 3 + [0.0] * 27)
    half = 1.959964 * math.sqrt(14 - 49 / 42) / 42
    assert (low, high) == pytest.approx((7 / 42 - half, 7 / 42 + half), abs=1e-6)


def test_difference_interval_does_not_call_four_changes_in_forty_seeing():
    low, high = s.difference_interval([1.0] * 4 + [0.0] * 36, [0.0] * 40)
    assert low < 0 < high


@given(pairs(st.one_of(binary, fraction)))
def test_difference_interval_holds_the_difference_and_mirrors(scores):
    a, b = scores
    low, high = s.difference_interval(a, b)
    difference = (sum(a) - sum(b)) / len(a)
    assert low - 1e-9 <= difference <= high + 1e-9
    back_low, back_high = s.difference_interval(b, a)
    assert (-back_high, -back_low) == pytest.approx((low, high), abs=0.03)


def test_f1_known_values():
    assert s.f1_score(6, 2, 4) == pytest.approx(12 / 18)
    assert s.f1_score(0, 0, 0) == 0


def test_f1_interval_holds_the_score_and_narrows_with_more_documents():
    gold, predicted = [True] * 10 + [False] * 10, [True] * 6 + [False] * 4 + [True] * 2 + [False] * 8
    low, high = s.bootstrap_f1_interval(gold, predicted)
    assert low < s.f1_score(6, 2, 4) < high
    tight_low, tight_high = s.bootstrap_f1_interval(gold * 20, predicted * 20)
    assert low < tight_low < s.f1_score(6, 2, 4) < tight_high < high
    assert s.bootstrap_f1_interval(gold, predicted) == (low, high)


@pytest.mark.parametrize("images", [None, s.Clusters.of([row // 2 for row in range(40)])])
def test_an_f1_of_zero_or_one_has_an_interval(images):
    gold = [True] * 10 + [False] * 30
    low, high = s.bootstrap_f1_interval(gold, gold, images)
    # Of ten documents all are true positives: Wilson's lower bound of J is 0.7225.
    assert (low, high) == pytest.approx((2 * 0.7225 / 1.7225, 1.0), abs=1e-4)
    low, high = s.bootstrap_f1_interval(gold, [False] * 40, images)
    assert (low, high) == pytest.approx((0.0, 2 * 0.2775 / 1.2775), abs=1e-4)
    # No document is positive by either: nothing is known of its F1.
    assert s.bootstrap_f1_interval([False] * 40, [False] * 40, images) == (0, 1)


def test_f1_interval_refuses_unpaired_input():
    with pytest.raises(ValueError):
        s.bootstrap_f1_interval([True], [])
