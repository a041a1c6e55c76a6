"""The four stages' training files of the drawn world, as LLaVA JSONL files with their image folder."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image

from miniature import questions
from miniature.scenes import Scene
from miniature.signs import SHEET_QUESTION, SIGN_QUESTION, WORDS, draw_sign, random_sheet
from ndino.conversations import write_conversations
from ndino.prompts import IMAGE_TOKEN
from ndino.tasks import LETTER_ANSWER, SHORT_ANSWER

LONG_QUESTION = "Descrivi in dettaglio questa immagine."
# Questions asked about each scene of the instruction stage, by kind; the learnable kinds come most often.
ASKED = {"colour": 2, "count": 1, "presence": 2, "place": 1}
RARE = {"fruit": 0.25, "choice": 0.25}


def write_training_files(folder: Path, scenes: list[Scene], *, seed: int) -> None:
    """Write ``mlp``, ``pt``, ``it``, ``long`` and ``mix.jsonl`` and ``images/`` to ``folder``.

    Every stage sees all training scenes; the pictures are drawn once.
    """
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    rng = random.Random(f"{seed} training pictures")
    names = [_save(images, f"scene-{index:05d}", scene.draw(rng)) for index, scene in enumerate(scenes)]
    pairs = list(zip(names, scenes, strict=True))
    signs = []
    for index in range(len(scenes) // 10):
        word = WORDS[index % len(WORDS)]
        signs.append((_save(images, f"sign-{index:05d}", draw_sign(word, rng)), word))
    sheets = []
    for index in range(len(scenes) // 20):
        sheet = random_sheet(rng)
        sheets.append((_save(images, f"sheet-{index:05d}", sheet.draw(rng)), sheet))

    short = list(_short_answers(pairs, random.Random(f"{seed} questions")))
    short += [(name, SIGN_QUESTION + SHORT_ANSWER, word.lower()) for name, word in signs]
    short += [(name, SHEET_QUESTION + LETTER_ANSWER, sheet.answer) for name, sheet in sheets]
    long = [(name, LONG_QUESTION, scene.description()) for name, scene in pairs]
    captions = [(name, "", scene.caption()) for name, scene in pairs]
    captions += [(name, "", f"Un cartello con la scritta {word}.") for name, word in signs]
    files = {
        "mlp": [(name, "", scene.caption_english()) for name, scene in pairs],
        "pt": captions,
        "it": short,
        "long": long,
        "mix": short + long,
    }
    for stage, rows in files.items():
        write_conversations(folder / f"{stage}.jsonl", _records(stage, rows))


def choice_text(choice: questions.Choice) -> str:
    """A multiple-choice question with its options, as the SEED-Bench task writes it."""
    return "\n".join(
        [
            choice.text,
            *(
                f"{letter}. {option}"
                for letter, option in zip(questions.LETTERS, choice.options, strict=True)
            ),
        ]
    )


def _short_answers(pairs: list[tuple[str, Scene]], rng: random.Random) -> Iterator[tuple[str, str, str]]:
    ask: dict[str, Callable[[Scene], questions.Question | None]] = {
        "colour": lambda scene: questions.colour(scene, rng),
        "count": lambda scene: questions.count(scene, rng),
        "place": lambda scene: questions.place(scene, rng),
        "presence": lambda scene: questions.presence(scene, rng.randrange(len(questions.SHAPES))),
        "fruit": lambda scene: questions.fruit(scene, rng),
    }
    for name, scene in pairs:
        kinds = [kind for kind, times in ASKED.items() for _ in range(times)]
        kinds += [kind for kind, share in RARE.items() if rng.random() < share]
        for kind in kinds:
            if kind == "choice":
                choice = questions.choice(scene, rng)
                yield name, choice_text(choice) + LETTER_ANSWER, choice.answer
            elif question := ask[kind](scene):
                yield name, question.text + SHORT_ANSWER, question.answer


def _records(stage: str, rows: list[tuple[str, str, str]]) -> Iterator[dict]:
    for index, (name, question, answer) in enumerate(rows):
        yield {
            "id": f"{stage}-{index:06d}",
            "image": name,
            "conversations": [
                {"from": "human", "value": f"{IMAGE_TOKEN}\n{question}".strip()},
                {"from": "gpt", "value": answer},
            ],
        }


def _save(folder: Path, name: str, image: Image.Image) -> str:
    image.save(folder / f"{name}.png")
    return f"{name}.png"
