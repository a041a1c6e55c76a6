from __future__ import annotations

from ndino.common.markdown import coefficient, one_cell, percent, table


def test_a_table_keeps_its_cells_as_they_are():
    assert table(("", "**b**"), [("2.50", "01"), ("x<br>y", "–")]) == [
        "|  | **b** |",
        "| --- | --- |",
        "| 2.50 | 01 |",
        "| x<br>y | – |",
    ]


def test_plain_text_cannot_end_its_cell():
    assert one_cell("a | b\nc\r\nd") == "a \\| b c d"


def test_negative_numbers_have_a_minus_sign_and_zero_has_none():
    assert [percent(share) for share in (-0.05, -0.0001, 0.5)] == ["−5.0", "0.0", "50.0"]
    assert coefficient(-0.036, (-0.104, -0.001)) == "−0.04 [−0.10, 0.00]"
    assert coefficient(0.613) == "0.61" and coefficient(-1) == "−1.00"
