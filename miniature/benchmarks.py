"""The drawn world's benchmarks in the published datasets' schemas, so that the unchanged tasks run.

The folder mirrors the hub: ``swap-uniba/POPE_IT/`` holds what the hub's data set of that name would.
``kinds.json`` tells which kind each question of ``gqa-it`` and ``ok-vqa-it`` is of, by document id.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset, Features, List, Value
from datasets import Image as ImageFeature

from miniature import questions
from miniature.scenes import Scene
from miniature.signs import SHEET_QUESTION, SIGN_QUESTION, WORDS, draw_sign, random_sheet
from miniature.training_files import LONG_QUESTION

TEXT = Value("string")
IMAGE = ImageFeature()
CATEGORIES = ("adversarial", "popular", "random")
SIGNS_OF_A_WORD = 2
SHEETS = 80
LONG = 60


def write_dataset(
    folder: Path,
    split: str,
    rows: Sequence[dict[str, Any]],
    types: dict[str, Any],
    *,
    config: str = "default",
) -> None:
    """Write one split as Parquet with the README that names it, as the hub lays out a data set."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = {name: [row[name] for row in rows] for name in types}
    Dataset.from_dict(columns, features=Features(types)).to_parquet(folder / f"{split}.parquet")
    header = f"- config_name: {config}\n  data_files:\n  - split: {split}\n    path: {split}.parquet\n"
    (folder / "README.md").write_text(f"---\nconfigs:\n{header}---\n", encoding="utf-8")


def write_benchmarks(folder: Path, scenes: list[Scene], *, seed: int) -> None:
    """Write the six benchmarks, the long set and the captions of ``scenes`` to ``folder``."""
    shutil.rmtree(folder, ignore_errors=True)
    rng = random.Random(f"{seed} test pictures")
    pictures = [scene.draw(rng) for scene in scenes]
    seen = list(zip(scenes, pictures, strict=True))
    hub = folder / "swap-uniba"

    asked = [
        (index, question)
        for index, scene in enumerate(scenes)
        for question in (questions.colour(scene, rng), questions.place(scene, rng))
        if question and (question.kind == "colour" or index % 3 == 0)
    ]
    write_dataset(
        folder / "crux82" / "gqa-it",
        "test",
        [
            {
                "img_id": f"n{index:04d}",
                "question_id": f"q{number:05d}",
                "sent": question.text,
                "label": json.dumps({question.answer: 1.0}, ensure_ascii=False),
            }
            for number, (index, question) in enumerate(asked)
        ],
        {"img_id": TEXT, "question_id": TEXT, "sent": TEXT, "label": TEXT},
    )
    write_dataset(
        folder / "lmms-lab" / "GQA",
        "testdev",
        [{"id": f"n{index:04d}", "image": picture} for index, picture in enumerate(pictures)],
        {"id": TEXT, "image": IMAGE},
        config="testdev_balanced_images",
    )
    counted = [
        (picture, question)
        for index, (scene, picture) in enumerate(seen)
        for question in (questions.count(scene, rng), questions.fruit(scene, rng) if index % 3 == 0 else None)
        if question
    ]
    write_dataset(
        hub / "OK-VQA_IT",
        "val2014",
        [
            _row(n, picture, question.text) | {"answers": _annotators(question)}
            for n, (picture, question) in enumerate(counted)
        ],
        _columns(answers=List(TEXT)),
    )
    _write_presence(hub / "POPE_IT", seen, rng)

    chosen = [(picture, questions.choice(scene, rng)) for scene, picture in seen[::2]]
    write_dataset(
        hub / "SEED-Bench_IT",
        "test",
        [
            _row(number, picture, choice.text)
            | {
                f"choice_{letter.lower()}": option
                for letter, option in zip(questions.LETTERS, choice.options, strict=True)
            }
            | {"answer": choice.answer}
            for number, (picture, choice) in enumerate(chosen)
        ],
        _columns(**{f"choice_{letter}": TEXT for letter in "abcd"}, answer=TEXT),
    )
    write_dataset(
        hub / "MTVQA_IT",
        "test",
        [
            _row(number, draw_sign(word, rng), SIGN_QUESTION) | {"answer": word.lower()}
            for number, word in enumerate(WORDS * SIGNS_OF_A_WORD)
        ],
        _columns(answer=TEXT),
    )
    sheets = [random_sheet(rng) for _ in range(SHEETS)]
    write_dataset(
        hub / "EXAMS-V_IT",
        "test",
        [
            _row(number, sheet.draw(rng), SHEET_QUESTION) | {"answer": sheet.answer}
            for number, sheet in enumerate(sheets)
        ],
        _columns(answer=TEXT),
    )
    write_dataset(
        hub / "WILD_IT",
        "test",
        [
            _row(number, picture, LONG_QUESTION)
            | {"caption": scene.caption(), "gpt_answer": scene.description()}
            for number, (scene, picture) in enumerate(seen[:LONG])
        ],
        _columns(caption=TEXT, gpt_answer=TEXT),
    )
    write_dataset(
        folder / "captions",
        "test",
        [
            _row(number, picture, "") | {"answer": scene.caption()}
            for number, (scene, picture) in enumerate(seen)
        ],
        _columns(answer=TEXT),
    )
    _write_json(
        folder / "kinds.json",
        {
            "gqa-it": [question.kind for _, question in asked],
            "ok-vqa-it": [question.kind for _, question in counted],
        },
    )


def _write_presence(folder: Path, seen: list[tuple[Scene, Any]], rng: random.Random) -> None:
    rows = []
    for index, (scene, picture) in enumerate(seen):
        category = CATEGORIES[index % len(CATEGORIES)]
        absent = questions.absent_shape(scene, category, rng)
        # As in POPE, half of the questions are about what is there; a scene with every shape has no other
        # half.
        if absent is None:
            continue
        for shape in (rng.choice(scene.shapes), absent):
            question = questions.presence(scene, shape)
            rows.append(
                _row(len(rows), picture, question.text) | {"answer": question.answer, "category": category}
            )
    write_dataset(folder, "test", rows, _columns(answer=TEXT, category=TEXT))


def _annotators(question: questions.Question) -> list[str]:
    # Ten people answered each question of OK-VQA; for a number, three of them wrote the digit.
    numbers = {name: str(value) for value, name in enumerate(questions.NUMBERS)}
    digit = numbers.get(question.answer)
    return [question.answer] * 7 + [digit] * 3 if digit else [question.answer] * 10


def _row(number: int, picture: Any, question: str) -> dict[str, Any]:
    return {"id": str(number), "image": picture, "question": question}


def _columns(**more: Any) -> dict[str, Any]:
    return {"id": TEXT, "image": IMAGE, "question": TEXT, **more}


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content) + "\n", encoding="utf-8")
