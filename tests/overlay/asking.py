"""Questions about images, as lmms-eval asks them of a wrapper."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from lmms_eval.api.instance import Instance
from lmms_eval.models.simple.llava_hf import LlavaHf
from PIL import Image

SIZES = [(112, 112), (60, 112), (112, 90), (200, 100), (31, 17)]
QUESTIONS = [
    "Di che colore è?",
    "Quanti cerchi ci sono?\nRispondi utilizzando una sola parola o frase.",
    "C'è un triangolo rosso nell'immagine, vicino al quadrato verde o giallo?  ",
    "<image>\nUn gatto, un cane o l'orso?",
]


def images(count: int) -> list[Image.Image]:
    noise = np.random.default_rng(0)
    sizes = [SIZES[i % len(SIZES)] for i in range(count)]
    return [Image.fromarray(noise.integers(0, 256, (h, w, 3), dtype=np.uint8)) for w, h in sizes]


DOCUMENTS = [{"question": QUESTIONS[i % 4], "images": [image]} for i, image in enumerate(images(22))]
# What is odd about a question: nothing, blanks and line breaks, no word, one letter, other scripts, length.
ODD = [
    *(
        "Di che colore è?",
        "Di che colore?",
        "Di",
        "  \n\n ",
        "",
        "?",
        "A",
        "perché\tno\r\n",
        "犬は何匹",
        "🐈" * 9,
    ),
    *("Quanti cerchi ci sono, e di che colore? " * 12, "<image>", "<image>\n<image-> <|eot|>", "sì" * 60),
]


def odd_documents() -> list[dict]:
    """Every odd question about each of five images, one after another as in no benchmark."""
    shown = images(5)
    return [{"question": question, "images": [image]} for question in ODD for image in shown]


def requests(documents: list[dict], **settings) -> list[Instance]:
    # As lmms-eval makes them: each with settings of its own, "until" filled in by it.
    made = {
        "max_new_tokens": 12,
        "temperature": 0.0,
        "top_p": 1.0,
        "num_beams": 1,
        "until": ["\n\n"],
        **settings,
    }
    return [
        Instance(
            "generate_until",
            (document["question"], dict(made), lambda found: found["images"], i, "task", "test"),
            0,
            {"task": "task", "doc_id": i, "repeats": 1},
        )
        for i, document in enumerate(documents)
    ]


def answered_by_llava_hf(folder: Path, documents: list[dict], **settings) -> list[str]:
    theirs = LlavaHf(str(folder), device="cpu", device_map="cpu", batch_size=1)
    return ask(theirs, documents, **settings)


def ask(model, documents: list[dict], **settings) -> list[str]:
    model.task_dict = {"task": {"test": documents}}
    return model.generate_until(requests(documents, **settings))
