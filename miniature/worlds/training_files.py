"""Write the training files of all stages, as LLaVA JSONL with an image folder, for any world.

Every world also gets signs with words and exam sheets, in proportion to its own images.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from PIL import Image

from miniature.worlds.questions import LETTERS, ChoiceQuestion, WorldQuestion
from miniature.worlds.signs import draw_sign, font_for, random_sheet
from ndino.formats.llava_json import write_conversations
from ndino.formats.prompts import IMAGE_TOKEN
from ndino.languages.lexicon import Lexicon

# Images of the world per sign, and per exam sheet.
IMAGES_PER_SIGN, IMAGES_PER_SHEET = 5, 20

# (file name of the image, question or "" for a caption, answer)
TrainingRow = tuple[str, str, str]
Subject = TypeVar("Subject")


@dataclass(frozen=True)
class DescribedImage:
    """A saved image (its file name), its English caption, its caption and its long description."""

    image: str
    english: str
    caption: str
    description: str


def write_training_files(
    folder: Path,
    described: Sequence[DescribedImage],
    short: Iterable[TrainingRow],
    words: Lexicon,
    rng: random.Random,
) -> None:
    """Write ``mlp``, ``pt``, ``it``, ``long`` and ``mix.jsonl`` to ``folder``.

    ``short`` are the world's questions with short answers. ``rng`` draws the signs and sheets, which are
    saved to ``images/``.
    """
    images = folder / "images"
    signs, font = [], font_for(words)
    for index in range(len(described) // IMAGES_PER_SIGN):
        word = words.signs[index % len(words.signs)]
        signs.append((save_image(images, f"sign-{index:05d}", draw_sign(word, font, rng)), word))
    sheets = []
    for index in range(len(described) // IMAGES_PER_SHEET):
        sheet = random_sheet(rng)
        sheets.append((save_image(images, f"sheet-{index:05d}", sheet.draw(rng)), sheet))

    # Pre-training and the instruction stage get different signs: a model that knows a sign from its caption
    # could answer from memory instead of reading it.
    captioned, asked = signs[::3], [sign for index, sign in enumerate(signs) if index % 3]
    short = list(short)
    short += [(name, words.sign_question + words.short_answer, word.lower()) for name, word in asked]
    short += [(name, words.sheet_question + words.letter_answer, sheet.answer) for name, sheet in sheets]
    long = [(each.image, words.description_question, each.description) for each in described]
    captions = [(each.image, "", each.caption) for each in described]
    captions += [(name, "", words.sign_caption.format(word=word)) for name, word in captioned]
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
    ask: Mapping[str, Callable[[Subject], WorldQuestion | ChoiceQuestion | None]],
    times: Mapping[str, float],
    words: Lexicon,
    rng: random.Random,
) -> Iterator[TrainingRow]:
    """Yield questions about each (image, subject) in turn, each followed by its task's instruction.

    ``ask`` maps a kind to its question about a subject, None where it does not fit. ``times`` is the number
    of questions of a kind per subject; a fractional part is the probability of one more.
    """
    for name, subject in subjects:
        kinds = [
            kind
            for kind, number in times.items()
            for _ in range(int(number) + bool(number % 1 and rng.random() < number % 1))
        ]
        for kind in kinds:
            asked = ask[kind](subject)
            if isinstance(asked, ChoiceQuestion):
                yield name, text_with_options(asked) + words.letter_answer, asked.answer
            elif asked:
                yield name, asked.text + words.short_answer, asked.answer


def save_image(folder: Path, name: str, image: Image.Image) -> str:
    """Save an image to ``folder``, creating it if necessary, and return the file name."""
    folder.mkdir(parents=True, exist_ok=True)
    image.save(folder / f"{name}.png")
    return f"{name}.png"


def text_with_options(choice: ChoiceQuestion) -> str:
    """The prompt of a multiple-choice question with its options, in the SEED-Bench task's format."""
    options = (f"{letter}. {option}" for letter, option in zip(LETTERS, choice.options, strict=True))
    return "\n".join([choice.text, *options])


def _records(stage: str, rows: list[TrainingRow]) -> Iterator[dict]:
    for index, (name, question, answer) in enumerate(rows):
        yield {
            "id": f"{stage}-{index:06d}",
            "image": name,
            "conversations": [
                {"from": "human", "value": f"{IMAGE_TOKEN}\n{question}".strip()},
                {"from": "gpt", "value": answer},
            ],
        }
