"""The stages' training files as LLaVA JSONL with their image folder, whatever the world they are of.

To a world's own images come signs with words and exam sheets, which every world has.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from PIL import Image

from miniature.worlds.questions import LETTERS, Choice, Question
from miniature.worlds.signs import SHEET_QUESTION, SIGN_QUESTION, WORDS, draw_sign, random_sheet
from ndino.evaluation.tasks.instructions import LETTER_ANSWER, SHORT_ANSWER
from ndino.formats.llava_json import write_conversations
from ndino.formats.prompts import IMAGE_TOKEN

LONG_QUESTION = "Descrivi in dettaglio questa immagine."
# One sign for every so many images, one sheet for every so many.
IMAGES_A_SIGN, IMAGES_A_SHEET = 5, 20

# File name of the image, question (empty for a caption), answer.
Row = tuple[str, str, str]
Subject = TypeVar("Subject")


@dataclass(frozen=True)
class Described:
    """A saved image with its English and Italian caption and its long Italian description."""

    image: str
    english: str
    caption: str
    description: str


def write_stages(
    folder: Path, described: Sequence[Described], short: Iterable[Row], rng: random.Random
) -> None:
    """Write ``mlp``, ``pt``, ``it``, ``long`` and ``mix.jsonl`` to ``folder``.

    ``short`` are the world's questions with short answers; ``rng`` draws signs and sheets into ``images/``.
    """
    images = folder / "images"
    signs = []
    for index in range(len(described) // IMAGES_A_SIGN):
        word = WORDS[index % len(WORDS)]
        signs.append((save_image(images, f"sign-{index:05d}", draw_sign(word, rng)), word))
    sheets = []
    for index in range(len(described) // IMAGES_A_SHEET):
        sheet = random_sheet(rng)
        sheets.append((save_image(images, f"sheet-{index:05d}", sheet.draw(rng)), sheet))

    # A sign that pre-training has shown would be known by heart, and its word no longer read off the image.
    shown, asked = signs[::3], [sign for index, sign in enumerate(signs) if index % 3]
    short = list(short)
    short += [(name, SIGN_QUESTION + SHORT_ANSWER, word.lower()) for name, word in asked]
    short += [(name, SHEET_QUESTION + LETTER_ANSWER, sheet.answer) for name, sheet in sheets]
    long = [(each.image, LONG_QUESTION, each.description) for each in described]
    captions = [(each.image, "", each.caption) for each in described]
    captions += [(name, "", f"Un cartello con la scritta {word}.") for name, word in shown]
    files = {
        "mlp": [(each.image, "", each.english) for each in described],
        "pt": captions,
        "it": short,
        "long": long,
        "mix": short + long,
    }
    for stage, rows in files.items():
        write_conversations(folder / f"{stage}.jsonl", _records(stage, rows))


def short_answers(
    subjects: Iterable[tuple[str, Subject]],
    ask: Mapping[str, Callable[[Subject], Question | Choice | None]],
    times: Mapping[str, float],
    rng: random.Random,
) -> Iterator[Row]:
    """Questions about each (image, subject) in turn, with the task's instruction behind them.

    ``times`` tells how often a kind is asked; a fraction is the chance of being asked once more.
    """
    for name, subject in subjects:
        kinds = [
            kind
            for kind, often in times.items()
            for _ in range(int(often) + bool(often % 1 and rng.random() < often % 1))
        ]
        for kind in kinds:
            asked = ask[kind](subject)
            if isinstance(asked, Choice):
                yield name, choice_text(asked) + LETTER_ANSWER, asked.answer
            elif asked:
                yield name, asked.text + SHORT_ANSWER, asked.answer


def save_image(folder: Path, name: str, image: Image.Image) -> str:
    """Save an image to ``folder``, which is made if need be, and return its file name."""
    folder.mkdir(parents=True, exist_ok=True)
    image.save(folder / f"{name}.png")
    return f"{name}.png"


def choice_text(choice: Choice) -> str:
    """A multiple-choice question with its options, as the SEED-Bench task writes it."""
    options = (f"{letter}. {option}" for letter, option in zip(LETTERS, choice.options, strict=True))
    return "\n".join([choice.text, *options])


def _records(stage: str, rows: list[Row]) -> Iterator[dict]:
    for index, (name, question, answer) in enumerate(rows):
        yield {
            "id": f"{stage}-{index:06d}",
            "image": name,
            "conversations": [
                {"from": "human", "value": f"{IMAGE_TOKEN}\n{question}".strip()},
                {"from": "gpt", "value": answer},
            ],
        }
