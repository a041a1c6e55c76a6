from __future__ import annotations

from ndino.results.contents import Link, contents_of
from ndino.results.figures import Chart
from ndino.results.table_data import Column, ReportTable


def table(key: str, *columns: str) -> ReportTable:
    return ReportTable(key, f"Title of {key}", "Model", tuple(map(Column, columns)), (), ())


def test_each_task_has_its_places_and_the_whole_its_sections():
    tables = [
        table("table-5", "GQA-IT \u2191", "GQA-IT-2 \u2191"),
        *(table("gqa-it-question_type"), table("gqa-it-2-letters")),
        *(table("pairs-1"), table("pairs-2"), table("more", "IT")),
    ]
    scores = [Chart("GQA-IT", "", ""), Chart("GQA-IT-2", "", "")]
    found = contents_of(
        ["gqa-it", "gqa-it-2"], tables, score_charts=scores, gain_charts=scores[1:], examples=["gqa-it-2"]
    )
    assert [link.target for link in found.tables] == ["table-5", "more", "pairs-1"]
    assert found.tasks["gqa-it"] == [
        Link("scores", "score-1"),
        Link("table", "table-5"),
        Link("question type", "gqa-it-question_type"),
    ]
    assert [link.target for link in found.tasks["gqa-it-2"]] == [
        *("score-2", "table-5", "gqa-it-2-letters", "gain-1", "cards-1")
    ]
    assert {*found.folded} == {"gqa-it-question_type", "gqa-it-2-letters", "pairs-1", "pairs-2", "more"}
