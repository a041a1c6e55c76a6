"""A world's benchmarks in the published datasets' schemas, so that the unchanged tasks run.

The folder mirrors the hub: ``swap-uniba/POPE_IT/`` holds what the hub's data set of that name would.
``kinds.json`` tells which kind each question of ``gqa-it`` and ``ok-vqa-it`` is of, by document id.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Image as ImageFeature
from datasets import List, Value
from PIL import Image

from miniature.worlds.questions import LETTERS, NUMBERS, Choice, Question
from miniature.worlds.signs import SHEET_QUESTION, SIGN_QUESTION, WORDS, draw_sign, random_sheet
from miniature.worlds.stages import LONG_QUESTION
from ndino.common.files import write_json
from ndino.formats.hub_folders import write_split

TEXT = Value("string")
IMAGE = ImageFeature()
CATEGORIES = ("adversarial", "popular", "random")
SIGNS_OF_A_WORD = 2
SHEETS = 80
LONG = 60


@dataclass(frozen=True)
class Exam:
    """Held-out images with captions and descriptions, and what is asked about them by image's index.

    ``gqa`` and ``ok_vqa`` are questions with short answers, ``pope`` such of presence with their category,
    ``seed_bench`` multiple choice.
    """

    images: Sequence[Image.Image]
    captions: Sequence[str]
    descriptions: Sequence[str]
    gqa: Sequence[tuple[int, Question]]
    ok_vqa: Sequence[tuple[int, Question]]
    pope: Sequence[tuple[int, Question, str]]
    seed_bench: Sequence[tuple[int, Choice]]


def write_exam(folder: Path, exam: Exam, rng: random.Random) -> None:
    """Write the six benchmarks, the long set and the captions to ``folder``; what was there goes.

    ``rng`` draws the signs of MTVQA_IT and the sheets of EXAMS-V_IT, which are the same in every world.
    """
    shutil.rmtree(folder, ignore_errors=True)
    hub = folder / "swap-uniba"
    images = exam.images
    write_split(
        folder / "crux82" / "gqa-it",
        "test",
        [
            {
                "img_id": f"n{index:04d}",
                "question_id": f"q{number:05d}",
                "sent": question.text,
                "label": json.dumps({question.answer: 1.0}, ensure_ascii=False),
            }
            for number, (index, question) in enumerate(exam.gqa)
        ],
        {"img_id": TEXT, "question_id": TEXT, "sent": TEXT, "label": TEXT},
    )
    write_split(
        folder / "lmms-lab" / "GQA",
        "testdev",
        [{"id": f"n{index:04d}", "image": image} for index, image in enumerate(images)],
        {"id": TEXT, "image": IMAGE},
        config="testdev_balanced_images",
    )
    write_split(
        hub / "OK-VQA_IT",
        "val2014",
        [
            _row(number, images[index], question.text) | {"answers": _annotators(question)}
            for number, (index, question) in enumerate(exam.ok_vqa)
        ],
        _columns(answers=List(TEXT)),
    )
    write_split(
        hub / "POPE_IT",
        "test",
        [
            _row(number, images[index], question.text) | {"answer": question.answer, "category": category}
            for number, (index, question, category) in enumerate(exam.pope)
        ],
        _columns(answer=TEXT, category=TEXT),
    )
    options = [f"choice_{letter.lower()}" for letter in LETTERS]
    write_split(
        hub / "SEED-Bench_IT",
        "test",
        [
            _row(number, images[index], choice.text)
            | dict(zip(options, choice.options, strict=True))
            | {"answer": choice.answer}
            for number, (index, choice) in enumerate(exam.seed_bench)
        ],
        _columns(**dict.fromkeys(options, TEXT), answer=TEXT),
    )
    write_split(
        hub / "MTVQA_IT",
        "test",
        [
            _row(number, draw_sign(word, rng), SIGN_QUESTION) | {"answer": word.lower()}
            for number, word in enumerate(WORDS * SIGNS_OF_A_WORD)
        ],
        _columns(answer=TEXT),
    )
    sheets = [random_sheet(rng) for _ in range(SHEETS)]
    write_split(
        hub / "EXAMS-V_IT",
        "test",
        [
            _row(number, sheet.draw(rng), SHEET_QUESTION) | {"answer": sheet.answer}
            for number, sheet in enumerate(sheets)
        ],
        _columns(answer=TEXT),
    )
    seen = list(zip(images, exam.captions, exam.descriptions, strict=True))
    write_split(
        hub / "WILD_IT",
        "test",
        [
            _row(number, image, LONG_QUESTION) | {"caption": caption, "gpt_answer": description}
            for number, (image, caption, description) in enumerate(seen[:LONG])
        ],
        _columns(caption=TEXT, gpt_answer=TEXT),
    )
    write_split(
        folder / "captions",
        "test",
        [_row(number, image, "") | {"answer": caption} for number, (image, caption, _) in enumerate(seen)],
        _columns(answer=TEXT),
    )
    kinds = {"gqa-it": exam.gqa, "ok-vqa-it": exam.ok_vqa}
    write_json(
        folder / "kinds.json",
        {task: [question.kind for _, question in asked] for task, asked in kinds.items()},
    )


def _annotators(question: Question) -> list[str]:
    # Ten people answered each question of OK-VQA; for a number, three of them wrote the digit.
    numbers = {name: str(value) for value, name in enumerate(NUMBERS)}
    digit = numbers.get(question.answer)
    return [question.answer] * 7 + [digit] * 3 if digit else [question.answer] * 10


def _row(number: int, image: Any, question: str) -> dict[str, Any]:
    return {"id": str(number), "image": image, "question": question}


def _columns(**more: Any) -> dict[str, Any]:
    return {"id": TEXT, "image": IMAGE, "question": TEXT, **more}
