"""Write samples of the further benchmarks with options or pairs, in the schemas of the published data sets.

They have a random stream of their own: what the demo trains on and is scored on does not depend on them.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets import Image as ImageFeature
from datasets import List, Value
from PIL import Image

from miniature.worlds import scene_questions
from miniature.worlds.questions import LETTERS
from miniature.worlds.scenes import Scene
from miniature.worlds.signs import draw_sign, font_for, random_sheet
from ndino.common.images import encode_image
from ndino.evaluation.tasks.m3exam import M3Exam
from ndino.evaluation.tasks.mmbench import MMBench
from ndino.evaluation.tasks.mme import Mme
from ndino.evaluation.tasks.science_qa import ScienceQA
from ndino.formats.hub_folders import write_split
from ndino.languages.known.tool_codes import known_code
from ndino.languages.lexicon import Lexicon

SAMPLES = 40
TEXT, IMAGE = Value("string"), ImageFeature()
MMBENCH = {
    "index": Value("int64"),
    "image": IMAGE,
    "question": TEXT,
    "hint": TEXT,
    **dict.fromkeys(LETTERS, TEXT),
    "answer": TEXT,
    "category": TEXT,
    "L2-category": TEXT,
}
SCIENCE_QA = {
    "image": IMAGE,
    "question": TEXT,
    "choices": List(TEXT),
    "answer": Value("int8"),
    "hint": TEXT,
    "subject": TEXT,
    "grade": TEXT,
}
MME = {"question_id": TEXT, "image": IMAGE, "question": TEXT, "answer": TEXT, "category": TEXT}
M3EXAM = {
    "question_text": TEXT,
    "background_description": List(TEXT),
    "options": List(TEXT),
    "answer_text": TEXT,
    "image_ids": List(TEXT),
    "images": List({"bytes": Value("binary"), "path": TEXT}),
    "level": TEXT,
    "subject_category": TEXT,
}
Row = dict[str, Any]


def write_choice_benchmarks(
    folder: Path, scenes: Sequence[Scene], images: Sequence[Image.Image], words: Lexicon, seed: int
) -> None:
    """Write MMBench, ScienceQA, MME and M3Exam about the first scenes, whose ``images`` these are."""
    code, rng = words.code, random.Random(f"{seed} multiple choice")
    shown = list(zip(scenes, images, strict=True))[:SAMPLES]
    rows = [_mmbench(number, scene, image, words, rng) for number, (scene, image) in enumerate(shown)]
    write_split(folder / MMBench(code).source, "dev", rows, MMBENCH)
    rows = [_science_qa(scene, image, words, rng) for scene, image in shown]
    write_split(folder / ScienceQA(code).source, "test", rows, SCIENCE_QA)
    rows = [row for number, place in enumerate(shown) for row in _mme(number, *place, words, rng)]
    write_split(folder / Mme(code).source, "test", rows, MME)
    rows = [_m3exam(number, words, rng) for number in range(len(shown))]
    write_split(folder / M3Exam(code).source, known_code("m3exam", code) or code, rows, M3EXAM)


def _mmbench(number: int, scene: Scene, image: Image.Image, words: Lexicon, rng: random.Random) -> Row:
    choice = scene_questions.choice(scene, words, rng)
    options, right = list(choice.options), LETTERS.index(choice.answer)
    answer = options[right]
    if number % 3 == 2:  # two options alone, as many of MMBench's rows have
        options = rng.sample([answer, options[right - 1]], 2)
    return {
        "index": number,
        "image": image,
        "question": choice.text,
        "hint": words.counts[len(scene.placed_shapes) - 1] if number % 2 else None,
        **dict.fromkeys(LETTERS),
        **dict(zip(LETTERS, options, strict=False)),
        "answer": LETTERS[options.index(answer)],
        "category": "object_localization",
        "L2-category": "finegrained_perception",
    }


def _science_qa(scene: Scene, image: Image.Image, words: Lexicon, rng: random.Random) -> Row:
    asked = scene_questions.place(scene, words, rng)
    names = [shape["name"] for shape in words.shapes.values()]
    choices = rng.sample([asked.answer, *rng.sample([name for name in names if name != asked.answer], 2)], 3)
    return {
        "image": image,
        "question": asked.text,
        "choices": choices,
        "answer": choices.index(asked.answer),
        "hint": words.counts[len(scene.placed_shapes) - 1],
        "subject": "natural science",
        "grade": "grade1",
    }


def _mme(number: int, scene: Scene, image: Image.Image, words: Lexicon, rng: random.Random) -> list[Row]:
    absent = scene_questions.absent_shape(scene, "random", rng)
    if absent is None:
        return []  # there is nothing to deny
    asked = [scene_questions.presence(scene, words, shape) for shape in (scene.shape_indices[0], absent)]
    return [
        {
            "question_id": f"existence/{number:04d}.png",
            "image": image,
            "question": question.text,
            "answer": question.answer,
            "category": "existence",
        }
        for question in asked
    ]


def _m3exam(number: int, words: Lexicon, rng: random.Random) -> Row:
    sheet = random_sheet(rng)
    images = [sheet.draw(rng)]
    options = [str(option) for option in sheet.options]
    if number % 2:  # the options are images
        images += [draw_sign(option, font_for(words), rng) for option in options]
        options = [f"(image)[image-{number}-{place}.png]" for place in range(1, len(images))]
    return {
        "question_text": f"{words.sheet_question}\n(image)[image-{number}-0.png]",
        "background_description": [],
        "options": [f"({letter}) {option}" for letter, option in zip(LETTERS, options, strict=True)],
        "answer_text": sheet.answer,
        "image_ids": [f"image-{number}-{place}.png" for place in range(len(images))],
        "images": [{"bytes": encode_image(image, "PNG"), "path": None} for image in images],
        "level": "low",
        "subject_category": "math",
    }
