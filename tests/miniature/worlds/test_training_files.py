"""Training files: each stage's rows, signs that are never in two stages, and how often a question occurs."""

from __future__ import annotations

import random

import pytest
from PIL import Image

from miniature.worlds.questions import ChoiceQuestion, WorldQuestion
from miniature.worlds.training_files import (
    IMAGES_PER_SIGN,
    DescribedImage,
    save_image,
    short_answers,
    write_training_files,
)
from ndino.formats.llava_json import read_conversations
from ndino.languages.lexicon import lexicon

WORDS = lexicon("it")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    described = [
        DescribedImage(
            save_image(folder / "images", f"x-{index}", Image.new("RGB", (4, 4))),
            f"English {index}.",
            f"Italiano {index}.",
            f"Descrizione {index}.",
        )
        for index in range(40)
    ]
    write_training_files(folder, described, [("x-0.png", "Che cosa?", "niente")], WORDS, random.Random(0))
    return folder


def turns(folder, stage) -> list[tuple[str, str, str]]:
    rows = read_conversations(folder / f"{stage}.jsonl", image_folder=folder / "images")
    return [
        (row.images[0], *(turn.text.removeprefix("<image>").strip() for turn in row.turns)) for row in rows
    ]


def test_each_stage_has_its_kind_of_text(files):
    assert turns(files, "mlp")[:2] == [("x-0.png", "", "English 0."), ("x-1.png", "", "English 1.")]
    assert turns(files, "pt")[:1] == [("x-0.png", "", "Italiano 0.")]
    assert turns(files, "long")[-1] == ("x-39.png", WORDS.description_question, "Descrizione 39.")
    assert turns(files, "it")[0] == ("x-0.png", "Che cosa?", "niente")
    assert turns(files, "mix") == turns(files, "it") + turns(files, "long")


def test_a_sign_is_either_in_pre_training_or_in_instructions(files):
    captioned = {name for name, _, _ in turns(files, "pt") if name.startswith("sign-")}
    asked = {name for name, question, _ in turns(files, "it") if question.startswith(WORDS.sign_question)}
    assert captioned and asked and not captioned & asked
    assert len(captioned | asked) == 40 // IMAGES_PER_SIGN


def test_a_fraction_is_the_probability_of_one_more_question():
    ask = {
        "twice": lambda subject: WorldQuestion("twice", f"{subject}?", "sì"),
        "rare": lambda subject: WorldQuestion("rare", "raro?", "no"),
        "never": lambda subject: None,
    }
    subjects = [(f"{index}.png", index) for index in range(400)]
    rows = list(short_answers(subjects, ask, {"twice": 2, "rare": 0.25, "never": 3}, WORDS, random.Random(0)))
    rare = [row for row in rows if row[1].startswith("raro?")]
    assert len(rows) - len(rare) == 800
    assert 70 <= len(rare) <= 130


def test_a_choice_lists_its_options_and_asks_for_the_letter():
    choice = ChoiceQuestion("Che cosa si vede?", ("un gatto", "un cane", "un topo", "un orso"), "B")
    ((name, text, answer),) = short_answers(
        [("a.png", 0)], {"c": lambda _: choice}, {"c": 1}, WORDS, random.Random(0)
    )
    lines = text.splitlines()
    assert (name, answer) == ("a.png", "B")
    assert lines[:5] == ["Che cosa si vede?", "A. un gatto", "B. un cane", "C. un topo", "D. un orso"]
    assert "lettera" in lines[5]
