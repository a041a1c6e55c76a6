"""The four benchmarks that the paper translated, and GQA: from rows of `lmms-lab` to rows of the tasks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ndino.data.io.repositories import image_bytes
from ndino.data.translation.pairs import LETTERS, Pair, PairError

CHOICES = ("choice_a", "choice_b", "choice_c", "choice_d")


@dataclass(frozen=True)
class BenchmarkQuestion:
    """What is translated of a row: pairs, and texts that are translated line by line."""

    id: str
    pairs: tuple[Pair, ...] = ()
    texts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Benchmark:
    """A benchmark as `lmms-lab` publishes it.

    Attributes:
        name: its key in `evaluation_folders.SETS`.
        files: patterns; those of the first that matches are read.
        columns: the columns that are read.
        ask: returns the question of a row, or None if the row is not used; raises PairError if it is broken.
        answer: returns the task's columns except id and image, from the row, its translated pairs (None for
            one that was rejected) and texts.
        drops_answers: the pairs are answers to one question, and some may be left out.
        images: the files of images that are a table of their own, with ``id`` and ``image``; a row names its
            image in ``imageId``.
        renamed: the task's columns that have another name in the row.
    """

    name: str
    repository: str
    files: tuple[str, ...]
    columns: tuple[str, ...]
    ask: Callable[[dict[str, Any]], BenchmarkQuestion | None]
    answer: Callable[[dict[str, Any], list[Pair | None], list[str]], dict[str, Any]]
    drops_answers: bool = False
    images: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)


def _ask_ok_vqa(row: dict[str, Any]) -> BenchmarkQuestion:
    question = _text(row, "question")
    # Ten people answered. Each distinct answer is translated with the question, the most common one first.
    answers = [answer for answer, _ in Counter(_answers(row)).most_common()]
    return BenchmarkQuestion(_text(row, "question_id"), tuple(Pair(question, answer) for answer in answers))


def _answer_ok_vqa(row: dict[str, Any], pairs: list[Pair | None], texts: list[str]) -> dict[str, Any]:
    distinct = [answer for answer, _ in Counter(_answers(row)).most_common()]
    translated = {answer: pair for answer, pair in zip(distinct, pairs, strict=True) if pair}
    answers = [translated[answer].answer for answer in _answers(row) if answer in translated]
    # The question as it was translated with the most common answer.
    return {"question": next(iter(translated.values())).question, "answers": answers}


def _ask_seed_bench(row: dict[str, Any]) -> BenchmarkQuestion | None:
    if row["data_type"] != "image":
        return None
    options = tuple(_text(row, choice) for choice in CHOICES)
    right = _text(row, "answer").upper()
    if right not in LETTERS[: len(options)] or len(right) != 1:
        raise PairError("answer is none of the options")
    pair = Pair(_text(row, "question"), "", options, LETTERS.index(right))
    return BenchmarkQuestion(_text(row, "question_id"), (pair,))


def _answer_seed_bench(row: dict[str, Any], pairs: list[Pair | None], texts: list[str]) -> dict[str, Any]:
    (pair,) = filter(None, pairs)
    choices = dict(zip(CHOICES, pair.options, strict=True))
    return {"question": pair.question, **choices, "answer": LETTERS[pair.choice or 0]}


def _ask_pope(row: dict[str, Any]) -> BenchmarkQuestion:
    answer = _text(row, "answer").casefold()
    if answer not in ("yes", "no"):
        raise PairError("answer is neither yes nor no")
    name = f"{_text(row, 'category')}-{_text(row, 'question_id')}"
    return BenchmarkQuestion(name, (Pair(_text(row, "question"), answer),))


def _answer_pope(row: dict[str, Any], pairs: list[Pair | None], texts: list[str]) -> dict[str, Any]:
    (pair,) = filter(None, pairs)
    return {"question": pair.question, "answer": pair.answer, "category": _text(row, "category")}


def _ask_llava_bench(row: dict[str, Any]) -> BenchmarkQuestion:
    # The answers are long, so they are translated line by line like Conversation 58k.
    return BenchmarkQuestion(
        _text(row, "question_id"),
        texts=(_text(row, "question"), _text(row, "caption"), _text(row, "gpt_answer")),
    )


def _answer_llava_bench(row: dict[str, Any], pairs: list[Pair | None], texts: list[str]) -> dict[str, Any]:
    return dict(zip(("question", "caption", "gpt_answer"), texts, strict=True))


def _ask_gqa(row: dict[str, Any]) -> BenchmarkQuestion:
    if row["image"] is None:
        raise PairError("image: not in lmms-lab/GQA")
    return BenchmarkQuestion(_text(row, "id"), (Pair(_text(row, "question"), _text(row, "answer")),))


def _answer_gqa(row: dict[str, Any], pairs: list[Pair | None], texts: list[str]) -> dict[str, Any]:
    (pair,) = filter(None, pairs)
    types = row["types"] if isinstance(row["types"], dict) else {}
    return {
        "question_id": _text(row, "id"),
        "img_id": _text(row, "imageId"),
        "sent": pair.question,
        "answer": pair.answer,
        "types": {name: types.get(name) for name in ("structural", "semantic")},
    }


BENCHMARKS = {
    "ok-vqa": Benchmark(
        "OK-VQA",
        "OK-VQA",
        ("data/val2014-*.parquet", "*.parquet"),
        ("question_id", "image", "question", "answers"),
        _ask_ok_vqa,
        _answer_ok_vqa,
        drops_answers=True,
    ),
    "seed-bench": Benchmark(
        "SEED-Bench",
        "SEED-Bench",
        ("data/test-*.parquet", "*.parquet"),
        ("question_id", "image", "question", *CHOICES, "answer", "data_type"),
        _ask_seed_bench,
        _answer_seed_bench,
    ),
    "pope": Benchmark(
        "POPE",
        "POPE",
        # Not Full/, which repeats the same questions by category.
        ("data/test-*.parquet", "*.parquet"),
        ("question_id", "image", "question", "answer", "category"),
        _ask_pope,
        _answer_pope,
    ),
    "llava-bench": Benchmark(
        "LLaVA-Bench",
        "llava-bench-in-the-wild",
        ("data/train-*.parquet", "*.parquet"),
        ("question_id", "image", "question", "caption", "gpt_answer"),
        _ask_llava_bench,
        _answer_llava_bench,
    ),
    "gqa": Benchmark(
        "GQA",
        "GQA",
        ("testdev_balanced_instructions/*.parquet",),
        ("id", "imageId", "question", "answer", "types"),
        _ask_gqa,
        _answer_gqa,
        images=("testdev_balanced_images/*.parquet",),
        renamed={"question_id": "id", "img_id": "imageId", "sent": "question"},
    ),
}


def _text(row: dict[str, Any], column: str) -> str:
    text = str(row[column]).strip() if isinstance(row[column], str | int) else ""
    if not text:
        raise PairError(f"no {column}")
    return text


def _answers(row: dict[str, Any]) -> list[str]:
    given = row["answers"] if isinstance(row["answers"], list) else []
    answers = [answer.strip() for answer in given if isinstance(answer, str) and answer.strip()]
    if not answers:
        raise PairError("no answers")
    return answers


def image_of(row: dict[str, Any]) -> bytes:
    """The bytes of a row's image, empty if it has none."""
    image = row["image"]
    # In SEED-Bench it is a list: one image, or the frames of a video.
    return image_bytes(image[0] if isinstance(image, list) and image else image)
