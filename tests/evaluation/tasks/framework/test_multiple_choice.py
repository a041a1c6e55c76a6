"""Rows of lettered options, and the rotations of circular evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from datasets import Dataset
from PIL import Image

from ndino.evaluation.tasks.framework.multiple_choice import (
    CircularChoice,
    LetteredQuestion,
    letter_of,
    stated_options,
    with_context,
)
from ndino.evaluation.tasks.framework.preparation import TaskDataError
from ndino.evaluation.tasks.framework.question_groups import RowOfGroup
from ndino.formats.questions.table import Questions


class Plain(CircularChoice):
    SOURCE = "owner/Plain"
    COLUMNS = ("question", "texts", "answer")

    def choice(self, fields: Mapping[str, Any]) -> LetteredQuestion:
        return LetteredQuestion(fields["question"], tuple(fields["texts"]), letter_of(fields["answer"]))


TASK = Plain("it")


def asked(*rows: tuple[list[str], str]) -> Questions:
    found = [
        {"image": Image.new("RGB", (4, 4 + n)), "question": f"{n}?", "texts": texts, "answer": answer}
        for n, (texts, answer) in enumerate(rows)
    ]
    return TASK.process_docs(Dataset.from_list(found))


def test_a_letter_is_taken_as_data_write_it():
    assert [letter_of(value) for value in ("b", " B ", "(B)", 1, None)] == ["B", "B", "B", "1", "None"]


def test_options_that_are_missing_at_the_end_are_none():
    assert stated_options(["a", "b", None, "nan", " "]) == ("a", "b")
    assert stated_options(["a", None, "c", ""]) == ("a", None, "c")
    assert stated_options([None, "NaN"]) == ()


def test_context_stands_before_the_question_where_there_is_any():
    assert with_context("q", " hint\n", None, "nan", "", "more") == "hint\nmore\nq"
    assert with_context(None, "hint") is None


@pytest.mark.parametrize(
    ("options", "answer", "said"),
    [
        (["a"], "A", "has 1 options, not 2 to 8"),
        (list("abcdefghi"), "A", "has 9 options, not 2 to 8"),
        (["a", " "], "A", "option B is empty: ' '"),
        (["a", None, "c"], "A", "option B is None, not a text"),
        (["a", "b"], "C", "answer 'C' is no letter from A to B"),
        (["a", "b"], "AB", "answer 'AB' is no letter from A to B"),
        (["a", "b"], "", "answer '' is no letter from A to B"),
    ],
)
def test_a_row_that_cannot_be_asked_is_refused_by_its_number(options, answer, said):
    with pytest.raises(ValueError, match=said.replace("(", r"\(")):
        LetteredQuestion("?", tuple(options), answer)
    if None not in options:
        with pytest.raises(TaskDataError, match=rf"row 2: {said}.* \(remedy: repair or remove it\)"):
            asked((["a", "b"], "A"), (options, answer))


def test_a_missing_column_is_named():
    rows = Dataset.from_list([{"image": Image.new("RGB", (4, 4)), "question": "?", "answer": "A"}])
    with pytest.raises(TaskDataError, match="owner/Plain: no column texts among"):
        TASK.process_docs(rows)


def test_in_its_rotations_the_right_option_stands_at_each_letter_once():
    found = asked((["rosso", "verde", "blu"], "B"), (["sì", "no"], "A"))
    assert [row["options"] for row in found][:3] == [
        ["rosso", "verde", "blu"],
        ["verde", "blu", "rosso"],
        ["blu", "rosso", "verde"],
    ]
    assert found.column("answer") == ["B", "A", "C", "A", "B"]
    assert [row["options"]["ABC".index(row["answer"])] for row in found] == ["verde"] * 3 + ["sì"] * 2
    assert found.column("question_group") == ["0", "0", "0", "1", "1"]
    assert found.column("rotation") == [0, 1, 2, 0, 1]
    assert [found.where(row) for row in (0, 2, 3)] == [
        *["owner/Plain row 1"] * 2,
        "owner/Plain row 2",
    ]
    prompts = [TASK.doc_to_text(row) for row in found]
    assert prompts[1].startswith("0?\nA. verde\nB. blu\nC. rosso\nRispondi")
    assert len({*prompts}) == 5


def test_all_rotations_get_the_same_wrong_image(monkeypatch):
    monkeypatch.setenv("NDINO_SHUFFLE", "1")
    found = asked((["rosso", "verde", "blu"], "B"), (["sì", "no"], "A"))
    sizes = [TASK.doc_to_visual(row)[0].height for row in found]
    assert sizes == [5, 5, 5, 4, 4]


def test_a_row_scores_its_rotation_and_says_which_letter_was_read():
    second = asked((["rosso", "verde", "blu"], "B"))[1]
    for answer, right, letter in [
        *[("A", 1, "A"), ("La risposta è A.", 1, "A"), ("Verde", 1, "A")],
        *[("B", 0, "B"), ("D", 0, None), ("boh", 0, None), ("", 0, None)],
    ]:
        scored = TASK.process_results(second, [answer])
        assert (scored["robust"], scored["unparseable"]) == (right, letter is None)
        assert scored["circular"] == RowOfGroup("0", 1, 3, bool(right))
        assert scored["plain"] == RowOfGroup("0", 1, 3, bool(right), first_alone=True)
        assert TASK.log_fields(second, answer) == {
            "question_group": "0",
            "rotation": 1,
            "group_size": 3,
            "letter": letter,
        }
