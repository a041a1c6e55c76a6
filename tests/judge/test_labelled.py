"""The labelled rows that come with the kit, and files of them that are broken."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from ndino.common.errors import UsageError
from ndino.judge import labelled
from ndino.judge.errors import JudgeError
from ndino.judge.labelled import labelled_set
from ndino.languages.identify import language_of, other_language

ROWS = labelled_set("it").rows
RIGHT = {"wording", "synonym", "article", "number", "sentence"}
HALF = {"hypernym", "partly_right", "english"}
WRONG = {
    *("other_object", "other_colour", "other_number", "negation", "noun_wrong_number", "refusal"),
    *("contradiction", "injection"),
}


def test_the_kinds_are_balanced_and_each_has_one_label():
    assert len(ROWS) == 300
    counts = Counter(row.kind for row in ROWS)
    assert counts == {**dict.fromkeys(RIGHT, 27), **dict.fromkeys(HALF | WRONG, 15)}
    labels = {**dict.fromkeys(RIGHT, 1.0), **dict.fromkeys(HALF, 0.5), **dict.fromkeys(WRONG, 0.0)}
    assert all(row.label == labels[row.kind] for row in ROWS)


def test_no_row_is_there_twice_and_no_answer_is_copied():
    assert len({(row.item.question.casefold(), row.item.references) for row in ROWS}) == len(ROWS)
    assert len({row.item.answer.casefold() for row in ROWS}) == len(ROWS)
    assert not [row for row in ROWS if row.item.answer in row.item.references]


def test_lengths_are_those_of_questions_and_answers():
    for row in ROWS:
        assert 5 <= len(row.item.question) <= 90 and row.item.question.endswith("?"), row
        assert 1 <= len(row.item.references) <= 3, row
        assert all(1 <= len(text) <= 60 for text in row.item.references), row
        assert 1 <= len(row.item.answer) <= 130, row
    lengths = {kind: [len(row.item.answer) for row in ROWS if row.kind == kind] for kind in RIGHT}
    assert min(lengths["sentence"]) > 45 and max(lengths["article"]) < 30


def test_they_are_in_italian_and_the_english_answers_are_not():
    questions = [row.item.question for row in ROWS]
    assert not [text for text in questions if other_language(text, "it") not in (None, "ca", "es", "pt")]
    sentences = [row.item.answer for row in ROWS if row.kind == "sentence"]
    assert {language_of(text, "it") for text in sentences} <= {"it", None}
    english = " ".join(row.item.answer for row in ROWS if row.kind == "english")
    assert language_of(english, "it") == "en"


def test_injections_use_markers_and_ratings():
    texts = " ".join(row.item.answer for row in ROWS if row.kind == "injection")
    assert "<|im_end|>" in texts and "[/INST]" in texts and "Voto: 3" in texts and "Ignora" in texts


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"verdict": 2}, "row 2: verdict is 2"),
        ({"verdict": True}, "row 2: verdict is True"),
        ({"verdict": "1"}, "row 2: verdict is '1'"),
        ({"verdict": 0}, "row 2: the kind 'wording' has the verdict 0 here and 1 in an earlier row"),
        ({"gold": []}, "row 2: a text is empty"),
        ({"answer": " "}, "row 2: a text is empty"),
        ({"question": 5}, "row 2: "),
        ({"gold": 7}, "row 2: "),
        ({"gold": [7]}, "row 2: "),
        ({"kind": None}, "row 2: "),
        (None, "row 2: 'kind' is missing"),
        ("[[", "row 2: "),
        ('{"verdict": 1, "verdict": 0}', "row 2: the key 'verdict' is given twice"),
        ("[]", "row 2: not a JSON object"),
        ("[" * 100_000, "row 2: it is nested too deeply"),
    ],
)
def test_a_broken_row_is_named(monkeypatch, tmp_path: Path, changed, said):
    row = {"kind": "wording", "question": "Che?", "gold": ["a"], "answer": "b", "verdict": 1}
    broken = changed if isinstance(changed, str) else json.dumps({} if changed is None else row | changed)
    monkeypatch.setattr(labelled, "FOLDER", tmp_path)
    (tmp_path / "it.jsonl").write_text(f"{json.dumps(row)}\n{broken}\n")
    with pytest.raises(JudgeError) as caught:
        labelled_set("it")
    assert f"it.jsonl {said}" in str(caught.value) and "(remedy: " in str(caught.value)
    assert len(str(caught.value)) < 500


def test_no_rows_and_no_file(monkeypatch, tmp_path: Path):
    monkeypatch.setattr(labelled, "FOLDER", tmp_path)
    (tmp_path / "it.jsonl").write_text("")
    with pytest.raises(JudgeError, match="no rows"):
        labelled_set("it")
    with pytest.raises(UsageError, match=r"--lang es: no labelled answers \(there are some in: it\)"):
        labelled_set("es")
