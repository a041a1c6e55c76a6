"""Counts and histograms of scores."""

from __future__ import annotations

from ndino.data.framework.quality import QualityCounts, histogram_lines


def test_scores_are_counted_in_tenths_by_source() -> None:
    counts = QualityCounts()
    for score in (-0.2, 0.0, 0.1, 0.7, 0.99, 1.0, 1.3):
        counts.add("toy", {"quality": score})
    counts.add("toy", {"id": "not translated"})
    counts.add("other", {"quality": 0.5})
    made = counts.as_json("chrf")
    assert made["scorer"] == "chrf"
    assert made["sources"]["toy"] == {"scored": 7, "mean": 0.556, "histogram": [2, 1, 0, 0, 0, 0, 0, 1, 0, 3]}
    lines = list(histogram_lines(made))
    assert lines[0] == "other: quality of 1 rows, mean 0.500"
    assert lines[11] == "toy: quality of 7 rows, mean 0.556"
    assert lines[12].endswith(" 2 " + "█" * 20) and lines[14] == "  0.2 to 0.3         0"
