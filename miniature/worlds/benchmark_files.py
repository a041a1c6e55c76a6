"""Write a world's benchmarks in the schemas of the published data sets, so that the tasks run unchanged.

The folder mirrors the Hugging Face hub: ``swap-uniba/POPE_IT/`` replaces the data set of that name, and
``POPE_ES/`` is its counterpart in Spanish. ``kinds.json`` lists the kind of each question of ``gqa-it`` and
``ok-vqa-it``, in the order of document ids.
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

from miniature.worlds.open_files import write_open_files
from miniature.worlds.questions import LETTERS, ChoiceQuestion, WorldQuestion
from miniature.worlds.signs import draw_sign, font_for, random_sheet
from ndino.common.files import write_json
from ndino.evaluation.tasks.exams_v import ExamsV
from ndino.evaluation.tasks.framework import gqa_images
from ndino.evaluation.tasks.gqa import Gqa
from ndino.evaluation.tasks.llava_bench import LlavaBench
from ndino.evaluation.tasks.mtvqa import Mtvqa
from ndino.evaluation.tasks.ok_vqa import OkVqa
from ndino.evaluation.tasks.pope import Pope
from ndino.evaluation.tasks.seed_bench import SeedBench
from ndino.formats.hub_folders import write_split
from ndino.languages.lexicon import Lexicon

TEXT = Value("string")
IMAGE = ImageFeature()
CATEGORIES = ("adversarial", "popular", "random")
SIGNS_PER_WORD = 2
SHEETS = 80
LONG_ANSWERS = 60


@dataclass(frozen=True)
class BenchmarkContent:
    """Held-out images with captions and descriptions, and the questions about them.

    Questions are (index of the image, question): ``gqa`` and ``ok_vqa`` with short answers, ``pope`` about
    presence, with POPE's category, ``seed_bench`` with four options.
    """

    images: Sequence[Image.Image]
    captions: Sequence[str]
    descriptions: Sequence[str]
    gqa: Sequence[tuple[int, WorldQuestion]]
    ok_vqa: Sequence[tuple[int, WorldQuestion]]
    pope: Sequence[tuple[int, WorldQuestion, str]]
    seed_bench: Sequence[tuple[int, ChoiceQuestion]]


def write_benchmark_files(
    folder: Path, content: BenchmarkContent, words: Lexicon, rng: random.Random
) -> None:
    """Write the six benchmarks, the set of long answers and the captions, replacing ``folder``.

    With them go samples of the tasks beyond the paper's, which the demo does not ask.

    Every world has the signs of MTVQA and the sheets of EXAMS-V; ``rng`` draws them.
    """
    shutil.rmtree(folder, ignore_errors=True)
    code, font = words.code, font_for(words)
    images = content.images
    write_split(
        folder / Gqa(code).source,
        "test",
        [
            {
                "img_id": f"n{index:04d}",
                "question_id": f"q{number:05d}",
                "sent": question.text,
                "label": json.dumps({question.answer: 1.0}, ensure_ascii=False),
            }
            for number, (index, question) in enumerate(content.gqa)
        ],
        {"img_id": TEXT, "question_id": TEXT, "sent": TEXT, "label": TEXT},
    )
    write_split(
        folder / gqa_images.SOURCE,
        "testdev",
        [{"id": f"n{index:04d}", "image": image} for index, image in enumerate(images)],
        {"id": TEXT, "image": IMAGE},
        config="testdev_balanced_images",
    )
    write_split(
        folder / OkVqa(code).source,
        "val2014",
        [
            _row(number, images[index], question.text) | {"answers": _annotators(question, words)}
            for number, (index, question) in enumerate(content.ok_vqa)
        ],
        _columns(answers=List(TEXT)),
    )
    write_split(
        folder / Pope(code).source,
        "test",
        [
            _row(number, images[index], question.text) | {"answer": question.answer, "category": category}
            for number, (index, question, category) in enumerate(content.pope)
        ],
        _columns(answer=TEXT, category=TEXT),
    )
    options = [f"choice_{letter.lower()}" for letter in LETTERS]
    write_split(
        folder / SeedBench(code).source,
        "test",
        [
            _row(number, images[index], choice.text)
            | dict(zip(options, choice.options, strict=True))
            | {"answer": choice.answer}
            for number, (index, choice) in enumerate(content.seed_bench)
        ],
        _columns(**dict.fromkeys(options, TEXT), answer=TEXT),
    )
    write_split(
        folder / Mtvqa(code).source,
        "test",
        [
            _row(number, draw_sign(word, font, rng), words.sign_question) | {"answer": word.lower()}
            for number, word in enumerate(words.signs * SIGNS_PER_WORD)
        ],
        _columns(answer=TEXT),
    )
    sheets = [random_sheet(rng) for _ in range(SHEETS)]
    write_split(
        folder / ExamsV(code).source,
        "test",
        [
            _row(number, sheet.draw(rng), words.sheet_question) | {"answer": sheet.answer}
            for number, sheet in enumerate(sheets)
        ],
        _columns(answer=TEXT),
    )
    captioned = list(zip(images, content.captions, content.descriptions, strict=True))
    write_split(
        folder / LlavaBench(code).source,
        "test",
        [
            _row(number, image, words.description_question) | {"caption": caption, "gpt_answer": description}
            for number, (image, caption, description) in enumerate(captioned[:LONG_ANSWERS])
        ],
        _columns(caption=TEXT, gpt_answer=TEXT),
    )
    write_split(
        folder / "captions",
        "test",
        [
            _row(number, image, "") | {"answer": caption}
            for number, (image, caption, _) in enumerate(captioned)
        ],
        _columns(answer=TEXT),
    )
    write_open_files(folder, images, content.captions, content.descriptions, words)
    kinds = {f"gqa-{code}": content.gqa, f"ok-vqa-{code}": content.ok_vqa}
    write_json(
        folder / "kinds.json",
        {task: [question.kind for _, question in questions] for task, questions in kinds.items()},
    )


def _annotators(question: WorldQuestion, words: Lexicon) -> list[str]:
    # Each question of OK-VQA has ten annotators' answers. For a number, three of them write the digit.
    numbers = {name: str(value) for value, name in enumerate(words.numbers, start=1)}
    digit = numbers.get(question.answer)
    return [question.answer] * 7 + [digit] * 3 if digit else [question.answer] * 10


def _row(number: int, image: Any, question: str) -> dict[str, Any]:
    return {"id": str(number), "image": image, "question": question}


def _columns(**more: Any) -> dict[str, Any]:
    return {"id": TEXT, "image": IMAGE, "question": TEXT, **more}
