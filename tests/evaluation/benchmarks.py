"""The seven benchmarks in their published schemas as small local data: one coloured image each row."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from datasets import Image as ImageFeature
from datasets import List, Value
from PIL import Image

from ndino.formats.hub_folders import write_split

COLOURS = {"rosso": (200, 30, 30), "verde": (30, 160, 60), "blu": (40, 60, 200), "giallo": (230, 210, 40)}
NAMES = list(COLOURS)
# What the benchmarks ask in Italian, and their right answers.
ITALIAN = {
    "colour": "Di che colore è?",
    "red": "C'è del rosso nell'immagine?",
    "describe": "Descrivi l'immagine.",
    "yes": "sì",
    "no": "no",
    **{name: name for name in NAMES},
}


def draw_image(index: int) -> Image.Image:
    """A plain image: colour ``index`` modulo 4, its size tells the rounds apart."""
    return Image.new("RGB", (112 + index // 4, 112), COLOURS[NAMES[index % 4]])


def description(colour: str) -> str:
    """The long answer about an image of this colour."""
    return f"L'immagine mostra una superficie uniforme di colore {colour}, senza figure né scritte."


def write_benchmarks(
    folder: Path, rows: int = 8, code: str = "it", words: Mapping[str, str] = ITALIAN
) -> Path:
    """Write all benchmarks, ``rows`` questions each (POPE: of each category; long answers: four at most).

    Args:
        code: of the language whose tasks read them.
        words: what `ITALIAN` has, in that language.

    Returns ``folder``.
    """
    ours, language = folder / "swap-uniba", code.upper()
    text, image = Value("string"), ImageFeature()
    names = [words[name] for name in NAMES]
    colour = [names[i % 4] for i in range(rows)]
    options = {f"choice_{letter}": text for letter in "abcd"}
    base = [
        {"id": str(i), "image": draw_image(i), "question": words["colour"], "answer": colour[i]}
        for i in range(rows)
    ]
    asked = {"id": text, "image": image, "question": text}

    write_split(
        ours / f"OK-VQA_{language}",
        "val2014",
        [{**row, "answers": [row["answer"]] * 10} for row in base],
        {**asked, "answers": List(text)},
    )
    write_split(
        ours / f"SEED-Bench_{language}",
        "test",
        [
            {**row, **dict(zip(options, names, strict=True)), "answer": "ABCD"[i % 4]}
            for i, row in enumerate(base)
        ],
        {**asked, **options, "answer": text},
    )
    write_split(
        ours / f"POPE_{language}",
        "test",
        [
            {
                "id": f"{category}-{i}",
                "image": draw_image(i),
                "question": words["red"],
                "answer": words["yes" if i % 4 == 0 else "no"],
                "category": category,
            }
            for category in ("adversarial", "popular", "random")
            for i in range(rows)
        ],
        {**asked, "answer": text, "category": text},
    )
    write_split(ours / f"MTVQA_{language}", "test", base, {**asked, "answer": text})
    write_split(
        ours / f"EXAMS-V_{language}",
        "test",
        [{**row, "answer": "ABCD"[i % 4]} for i, row in enumerate(base)],
        {**asked, "answer": text},
    )
    write_split(
        ours / f"WILD_{language}",
        "test",
        [
            {**row, "question": words["describe"], "gpt_answer": description(row["answer"])}
            for row in base[:4]
        ],
        {**asked, "gpt_answer": text},
    )
    write_split(
        folder / "crux82" / f"gqa-{code}",
        "test",
        [
            {
                "question_id": str(i),
                "img_id": f"n{i}",
                "sent": words["colour"],
                "label": json.dumps({c: 1.0}),
            }
            for i, c in enumerate(colour)
        ],
        {"question_id": text, "img_id": text, "sent": text, "label": text},
    )
    write_split(
        folder / "lmms-lab" / "GQA",
        "testdev",
        [{"id": f"n{i}", "image": draw_image(i)} for i in range(rows)],
        {"id": text, "image": image},
        config="testdev_balanced_images",
    )
    return folder
