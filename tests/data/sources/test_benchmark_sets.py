"""From a row of a published benchmark to a question, and back to the columns of its task."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ndino.data.sources.benchmark_sets import BENCHMARKS, image_of
from ndino.data.translation.pairs import Pair, PairError

SEED = {
    "question_id": 4,
    "data_type": "image",
    "question": "Where is the dog?",
    "choice_a": "On the sofa",
    "choice_b": "Outside",
    "choice_c": "In bed",
    "choice_d": "Gone",
    "answer": "b",
}
POPE = {"question_id": 3, "category": "random", "question": "Is there a dog?", "answer": "Yes"}


def test_ok_vqa_translates_each_distinct_answer_once_and_keeps_all_ten() -> None:
    benchmark = BENCHMARKS["ok-vqa"]
    row = {
        "question_id": 1,
        "question": "What is it?",
        "answers": ["cat", "dog", "dog", " ", None, "cat", "dog"],
    }
    question = benchmark.ask(row)
    assert question and question.pairs == (Pair("What is it?", "dog"), Pair("What is it?", "cat"))
    translated = [Pair("Che cos'è?", "cane"), Pair("Che cos'è?", "gatto")]
    assert benchmark.answer(row, translated, []) == {
        "question": "Che cos'è?",
        "answers": ["gatto", "cane", "cane", "gatto", "cane"],
    }


def test_seed_bench_is_a_pair_with_options_answered_by_letter() -> None:
    benchmark = BENCHMARKS["seed-bench"]
    question = benchmark.ask(SEED)
    assert question and question.id == "4"
    (pair,) = question.pairs
    assert (pair.options[1], pair.choice) == ("Outside", 1)
    cells = benchmark.answer(SEED, [replace(pair, options=("a", "fuori", "c", "d"))], [])
    assert (cells["choice_b"], cells["answer"]) == ("fuori", "B")


def test_seed_bench_leaves_out_videos() -> None:
    assert BENCHMARKS["seed-bench"].ask({**SEED, "data_type": "video"}) is None


def test_the_id_of_pope_holds_its_category_since_numbers_repeat() -> None:
    question = BENCHMARKS["pope"].ask(POPE)
    assert question and (question.id, question.pairs) == ("random-3", (Pair("Is there a dog?", "yes"),))


def test_llava_bench_is_translated_as_texts() -> None:
    benchmark = BENCHMARKS["llava-bench"]
    row = {
        "question_id": 9,
        "question": "Describe.",
        "caption": "A beach.",
        "gpt_answer": "A beach\nwith a dog.",
    }
    question = benchmark.ask(row)
    assert question and (question.pairs, question.texts) == (
        (),
        ("Describe.", "A beach.", "A beach\nwith a dog."),
    )
    assert benchmark.answer(row, [], ["a", "b", "c"]) == {"question": "a", "caption": "b", "gpt_answer": "c"}


@pytest.mark.parametrize(
    ("name", "row", "reason"),
    [
        ("ok-vqa", {"question_id": 1, "question": "What?", "answers": [" "]}, "no answers"),
        ("ok-vqa", {"question_id": 1, "question": None, "answers": ["a"]}, "no question"),
        ("seed-bench", {**SEED, "answer": "E"}, "answer is none of the options"),
        ("seed-bench", {**SEED, "answer": "AB"}, "answer is none of the options"),
        ("seed-bench", {**SEED, "choice_c": ""}, "no choice_c"),
        ("pope", {**POPE, "answer": "maybe"}, "answer is neither yes nor no"),
        ("llava-bench", {"question_id": 9, "question": "Why?", "caption": None}, "no caption"),
    ],
)
def test_a_broken_row_has_a_reason(name: str, row: dict, reason: str) -> None:
    with pytest.raises(PairError, match=reason):
        BENCHMARKS[name].ask(row)


@pytest.mark.parametrize(
    ("image", "content"),
    [
        ({"bytes": b"x"}, b"x"),
        ([{"bytes": b"first"}, {"bytes": b"second"}], b"first"),
        ([], b""),
        (None, b""),
    ],
)
def test_the_image_of_a_row(image: object, content: bytes) -> None:
    assert image_of({"image": image}) == content
