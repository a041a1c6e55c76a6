from __future__ import annotations

import pytest

from ndino.evaluation.answer_store import AnswerStore, answer_key, is_repeatable
from ndino.evaluation.errors import SetupError


def test_answers_come_back_whatever_they_hold_and_from_every_process(tmp_path):
    odd = {"a": "", "b": "sì\x00\n", "c": "half a pair \ud83d", "d": "x" * 10_000}
    first, second = AnswerStore(tmp_path / "answers"), AnswerStore(tmp_path / "answers", rank=1)
    first.keep(odd)
    second.keep({"e": "altro", "a": ""})
    wanted = [*odd, "e", "nobody's", *map(str, range(1200))]
    assert first.find(wanted) == second.find(wanted) == {**odd, "e": "altro"}
    assert AnswerStore(tmp_path / "answers").find(["b"]) == {"b": odd["b"]}


@pytest.mark.parametrize("content", [b"no database at all" * 100, b"SQLite format 3\0 torn"])
def test_a_broken_database_is_named(tmp_path, content):
    (tmp_path / "answers-0.sqlite").write_bytes(content)
    with pytest.raises(SetupError, match=r"answers-0\.sqlite: .* \(remedy: remove it"):
        AnswerStore(tmp_path).find(["a"])


def test_a_key_depends_on_every_part_and_not_on_the_order_of_settings():
    assert answer_key("a", "b", ["c"], {"x": 1, "y": 2}) == answer_key("a", "b", ["c"], {"y": 2, "x": 1})
    keys = [
        answer_key("a", "b", ["c", "d"], {"x": 1}),
        answer_key("a", "b", ["cd"], {"x": 1}),
        answer_key("a", "b", ["d", "c"], {"x": 1}),
        answer_key("A", "b", ["c", "d"], {"x": 1}),
        answer_key("a", "B", ["c", "d"], {"x": 1}),
        answer_key("a", "b", ["c", "d"], {"x": 2}),
    ]
    assert len(set(keys)) == len(keys)


def test_keys_are_those_that_stored_answers_have():
    key = answer_key("llava_next_it 1 w", "Che cosa?", ["0f"], {"max_new_tokens": 16, "until": ["\n\n"]})
    assert key == "6846a492b1fc63af497988dff305fa9bf92fafc4119c9783158544df193d06fd"


@pytest.mark.parametrize("settings", [{"do_sample": True}, {"temperature": 0.5}])
def test_sampled_answers_are_not_repeatable(settings):
    assert not is_repeatable(settings)
    assert is_repeatable({"do_sample": False, "temperature": None})
