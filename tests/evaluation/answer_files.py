"""A small set of answers about images, as a JSONL file, and its rows as models are asked them."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

from ndino.evaluation.models import Model, find_model
from ndino.evaluation.perplexity.answer_sets import AnswerItem, read_items

SIZES = [(56, 56), (150, 90), (60, 200), (112, 113), (31, 7)]
ANSWERS = ["rosso", "C'è un triangolo rosso nell'immagine.", "No.", "tre", "un gatto e un cane, blu e verde"]


def png(size: tuple[int, int], seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(256, size=(size[1], size[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def write_answers(folder: Path) -> Path:
    """Five answers with images of five shapes, in ``folder/images``; returns the JSONL file."""
    rows = []
    (folder / "images").mkdir()
    for number, (size, answer) in enumerate(zip(SIZES, ANSWERS, strict=True)):
        (folder / "images" / f"{number}.png").write_bytes(png(size, number))
        rows.append(
            {"id": f"q{number}", "question": "Cosa vedi?", "file_name": f"{number}.png", "answer": answer}
        )
    path = folder / "answers.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def read_answers(path: Path) -> list[AnswerItem]:
    """The items of a file that `write_answers` wrote."""
    return read_items(str(path), images_dir=path.parent / "images")


def find(folder: Path) -> Model:
    return find_model(folder.name, str(folder))
