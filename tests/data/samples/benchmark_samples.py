"""The four benchmarks in the layout of lmms-lab, small: the real columns with our texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.data.samples.cauldron_samples import draw_image

TEXT, IMAGE = pa.string(), pa.struct({"bytes": pa.binary(), "path": pa.string()})
OBJECTS = ("dog", "car", "bench", "person", "bottle", "train")


def _image(number: int) -> dict[str, Any]:
    return {"bytes": draw_image(number), "path": None}


def ok_vqa() -> list[dict[str, Any]]:
    answers = [["dog"] * 6 + ["puppy"] * 4, ["3"] * 10, ["yes"] * 7 + ["no"] * 3]
    questions = ["What animal is on the sofa?", "How many wheels does it have?", "Is this food healthy?"]
    return [
        {
            "question_id": str(100 + number),
            "image": _image(number),
            "question": question,
            "answers": answers[number],
            "question_type": "one",
            "answer_type": "other",
        }
        for number, question in enumerate(questions)
    ]


def seed_bench() -> list[dict[str, Any]]:
    questions = ["What color is the car?", "Where is the dog?", "How many chairs does the room have?"]
    choices = [
        ("Red", "Blue", "Green", "White"),
        ("On the sofa", "Under the table", "In the garden", "In the car"),
        ("One", "Two", "Three", "Four"),
    ]
    rows = [
        {
            "question_id": str(number),
            "image": [_image(10 + number)],
            "question": question,
            **dict(zip(("choice_a", "choice_b", "choice_c", "choice_d"), choices[number], strict=True)),
            "answer": "ABD"[number],
            "data_type": "image",
        }
        for number, question in enumerate(questions)
    ]
    return [*rows, {**rows[0], "question_id": "9", "data_type": "video", "image": [_image(1), _image(2)]}]


def pope() -> list[dict[str, Any]]:
    return [
        {
            "id": str(number),
            "question_id": str(number),
            "question": f"Does the image show a {thing}?",
            "answer": "yes" if number % 2 else "no",
            "image_source": "COCO_val2014_000000000001",
            "image": _image(20 + number // 2),
            "category": category,
        }
        for category in ("adversarial", "popular", "random")
        for number, thing in enumerate(OBJECTS)
    ]


def llava_bench() -> list[dict[str, Any]]:
    return [
        {
            "question_id": "0",
            "question": "What do you know about this beach?",
            "image": _image(30),
            "category": "detail",
            "image_id": "001",
            "gpt_answer": "The photo shows a beach.\n\n1. There is a dog.\n2. There are two people.",
            "caption": "A dog on a beach with two people.",
        }
    ]


def write_benchmark_sources(folder: Path) -> Path:
    """Write all four below ``folder`` under their repositories' names; returns it."""
    texts = {
        "question_id": TEXT, "question": TEXT, "answer": TEXT, "category": TEXT, "id": TEXT, "caption": TEXT,
        "question_type": TEXT, "answer_type": TEXT, "image_source": TEXT, "image_id": TEXT, "data_type": TEXT,
        "gpt_answer": TEXT, "choice_a": TEXT, "choice_b": TEXT, "choice_c": TEXT, "choice_d": TEXT,
        "answers": pa.list_(TEXT),
    }  # fmt: skip
    for name, split, rows in (
        ("OK-VQA", "val2014", ok_vqa()),
        ("SEED-Bench", "test", seed_bench()),
        ("POPE", "test", pope()),
        ("llava-bench-in-the-wild", "train", llava_bench()),
    ):
        image = pa.list_(IMAGE) if isinstance(rows[0]["image"], list) else IMAGE
        types = {**texts, "image": image}
        schema = pa.schema({column: types[column] for column in rows[0]})
        target = folder / name / "data" / f"{split}-00000-of-00001.parquet"
        target.parent.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), target)
    # The hub's POPE has every question once more, by category.
    full = folder / "POPE" / "Full" / "random-00000-of-00001.parquet"
    full.parent.mkdir()
    full.write_bytes((folder / "POPE" / "data" / "test-00000-of-00001.parquet").read_bytes())
    return folder


def write_gqa_source(folder: Path) -> Path:
    """Write GQA below ``folder``: four questions on two images, and one on an image that is missing."""
    asked = [
        ("What color is the sofa?", "red", "n1"),
        ("Is the door open?", "yes", "n2"),
        ("Who is there?", "man", "n1"),
        ("Is it cold?", "no", "n2"),
        ("Where is it?", "here", "n9"),
    ]
    types = {"structural": "query", "semantic": "attr", "detailed": "colorQuery"}
    rows = [
        {"id": f"{number:02d}", "imageId": image, "question": question, "answer": answer, "types": types}
        for number, (question, answer, image) in enumerate(asked)
    ]
    kinds = pa.struct(dict.fromkeys(types, TEXT))
    columns = {"id": TEXT, "imageId": TEXT, "question": TEXT, "answer": TEXT, "types": kinds}
    images = [{"id": name, "image": _image(number)} for number, name in enumerate(("n2", "n3", "n1"), 40)]
    for name, found, schema in (
        ("instructions", rows, columns),
        ("images", images, {"id": TEXT, "image": IMAGE}),
    ):
        target = folder / "GQA" / f"testdev_balanced_{name}" / "testdev-00000-of-00001.parquet"
        target.parent.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(found, schema=pa.schema(schema)), target)
    return folder
