from __future__ import annotations

from ndino.common.markdown import one_cell, table


def test_a_table_keeps_its_cells_as_they_are():
    assert table(("", "**b**"), [("2.50", "01"), ("x<br>y", "–")]) == [
        "|  | **b** |",
        "| --- | --- |",
        "| 2.50 | 01 |",
        "| x<br>y | – |",
    ]


def test_plain_text_cannot_end_its_cell():
    assert one_cell("a | b\nc\r\nd") == "a \\| b c d"
