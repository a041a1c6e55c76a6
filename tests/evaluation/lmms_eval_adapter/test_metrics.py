from __future__ import annotations

from statistics import fmean

import pytest
from lmms_eval.api.metrics import mean

from ndino.evaluation.lmms_eval_adapter.metrics import exact_match_ignoring_case_and_punctuation, is_mean


@pytest.mark.parametrize(
    ("answer", "target", "same"),
    [("(B)", "b", True), ("Rosso!", "rosso", True), ("il rosso", "rosso", False), ("citta", "città", False)],
)
def test_the_papers_exact_match_ignores_case_and_ascii_punctuation_alone(answer, target, same):
    assert exact_match_ignoring_case_and_punctuation(answer, target) is same


def test_lmms_evals_mean_is_recognised():
    assert is_mean(mean) and not is_mean(fmean)
