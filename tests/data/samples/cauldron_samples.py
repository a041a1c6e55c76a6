"""Pairs in the forms of The Cauldron's 15 tasks, and parquet folders of them in the hub's layout.

The forms are those of the real rows; every sentence is ours, of the kind that the tasks have. Run as a
command it writes the folder that docs/data/cauldron.md measures on::

    python -m tests.data.samples.cauldron_samples FOLDER
"""

from __future__ import annotations

import io
import itertools
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

# Each task has some ways to say how to answer; they stand on a line of their own.
BRIEF = (
    "Reply in a few words.",
    "One word is enough.",
    "No long answers, please.",
    "Say it in two or three words. ",
    "Do not write a whole sentence.",
)
PICK = (
    "One of these is right: which one?",
    "Only one of the things in the list is true.",
    "Take the right word from the list.",
)
PICK_AND_EXPLAIN = (
    "Take one from the list and say why, as in 'Answer: word\nRationale: reason.'",
    "Write your word and the reason for it in this form: `Answer: word\nRationale: reason.`",
)
LETTER = "Write only a letter."
DESCRIBE = (
    "Tell me in a sentence what can be seen here.",
    "What can be seen here? A sentence or two will do.",
)
COMPARE = ("Tell me what has changed from one image to the other.", "What is new in the second image?")
PUZZLE = ("Which of the figures comes next?", "Which figure belongs in the empty field?")
FITS = (
    "Does this figure belong in the empty field? Say yes or no.",
    "Say yes or no. Is this the figure that comes next?",
    "The last figure is a guess. Is it a good one, yes or no?",
)
SHAPES = ("cube", "sphere", "cylinder")
COLOURS = ("red", "blue", "brown", "cyan", "gray", "yellow")

AOKVQA = [
    ("Who will open the door of the shop?", "teacher, baker, nurse, farmer", "baker",
     "The shop sells bread."),
    ("Where is this woman reading?", "kitchen, train, garden, library", "train",
     "There are fields behind the window and other passengers near her."),
    ("What is the child with the bucket looking for?", "shells, coins, mushrooms, eggs", "shells",
     "The child is walking on the sand near the sea."),
    ("What will the cook do with the onions?", "cut, sell, plant, throw", "cut",
     "The cook has a knife in his hand."),
    ("What season is it in this village?", "spring, summer, autumn, winter", "winter",
     "There is snow on the roofs."),
    ("Why does the boy wear a helmet?", "he rides a bicycle, to sleep, to swim, to read",
     "he rides a bicycle", "A helmet protects the head."),
    ("Which number comes before the one on the door?", "ten, eleven, twelve, thirteen", "twelve",
     "The number on the door is thirteen."),
    ("What is the bridge made of?", "stone, wood, paper, metal", "stone", "The bridge is gray and very old."),
]  # fmt: skip
LETTERED = {
    "visual7w": [
        ("What animal is painted on the wall of the school?",
         ("A yellow lion.", "A horse.", "A small cat.", "A fish."), 0),
        ("Where does the path behind the church go?",
         ("To km 14 ½.", "To km 15 ½.", "To km 13 ½.", "To the river."), 0),
        ("When do these people eat?", ("In the morning.", "At noon.", "In the evening.",
                                       "During the night."), 0),
        ("Who waits in front of the theatre?", ("Three girls.", "A doctor.", "An old woman.",
                                                "A mother with her son."), 0),
        ("Why does the girl hold the rope of the boat?",
         ("The boat must not leave without her.", "She wants to buy the boat.",
          "She wants to wash the boat.", "The rope is new."), 0),
        ("How many plates are on the shelf?", ("5.", "2.", "3.", "4."), 0),
        ("What color is the gate?", ("Black.", "Brown.", "White.", "Gray."), 2),
        ("Where is the cook sitting?", ("On a box.", "In the kitchen.", "Near the oven.", "In the car."), 0),
    ],
    "intergps": [
        ("Calculate t.", ("12.5", "14", "16.3", "22"), 2),
        ("How large is the angle B in the circle K?", ("35", "50", "65", "80"), 1),
        ("PQRS is a square. Calculate h.", ("3 \\sqrt { 2 }", "5", "5 \\sqrt { 2 }", "7"), 2),
        ("How long is the other side of the rectangle?", ("4", "7", "10", "13"), 1),
        ("Calculate the area of the garden with one decimal.", ("83.5", "95.2", "112.9", "121.1"), 3),
    ],
    "iconqa": [
        ("How did the star move?", ("turn", "fall", "flip"), 0),
        ("Which fruit is bigger?", ("the melon", "the cherry"), 0),
        ("What time is it in the picture?", ("half past ten", "half past four", "seven o'clock"), 1),
        ("Which shape comes first in the row?", ("circle", "square", "triangle"), 2),
        ("Is the number of pears even or odd?", ("even", "odd"), 1),
    ],
}  # fmt: skip
FREE = {
    "vqav2": [
        ("What is under the ladder?", "Bucket."), ("What color is the boat?", "Green."),
        ("Is the window closed?", "No."), ("What are the children near the fountain doing?", "Drinking."),
        ("How many lamps are in the room?", "2."), ("Is this woman a good cook?", "Yes."),
        ("What is in the basket?", "Bread and cheese."), ("What is the name of the shop?", "Aurora."),
        ("Is it summer or winter?", "Winter."), ("What game do they play?", "Tennis."),
        ("Who has the keys?", "Girl."),
    ],
    "cocoqa": [
        ("What is the color of the chair?", "Red."), ("How many ducks swim in the lake?", "Three."),
        ("What does the man carry?", "Basket."), ("Where does the cat sleep?", "Box."),
        ("What is behind the house?", "Tree."), ("What is on the shelf?", "Book."),
    ],
    "tallyqa": [
        ("How many boys have a cap?", "3."), ("How many cows drink?", "2."),
        ("How many yellow doors does the house have?", "0."), ("How many boats are on the river?", "12."),
    ],
    "vqarad": [
        ("Is one of the bones broken?", "No."), ("Does the liver look healthy?", "No."),
        ("What part of the body is it?", "Hand."), ("How was this image taken?", "Ultrasound."),
        ("Where is the cyst?", "Left kidney."), ("Is there too much water in the lungs?", "Yes."),
    ],
}  # fmt: skip
NLVR2_FORMS = (
    'Somebody says about the two images: "{}". Is he right?',
    'Look left and look right. Does the sentence "{}" fit?',
    'Is "{}" a good title for the two images?',
    'True or not: "{}"?',
)
NLVR2 = [
    "A wooden box is open and has a pen in it.", "Three cats sleep in the picture on the right.",
    "There is a green bicycle on the left.", "One of the ducks is eating.",
    "Nobody has a glass in his hand.", "Together they have four chairs.",
]  # fmt: skip
NARRATIVES = [
    "Some children play in a garden. Behind the garden there is a white house with a red roof.",
    "A woman sells flowers in the street, and next to her a man with a hat drinks coffee.",
    "On the shelf there are three books, a lamp and a cup. Under the shelf a cat is sleeping.",
    "It is an old image without colors. There is a ship near a bridge, and many people look at it.",
]
DIFFERENCES = [
    "The yellow bicycle is gone. A woman has come out of the shop on the left.",
    "The boy with the green hat is now near the tree. There are two more dogs.",
    "A chair is missing.", "The girl with the umbrella has left. The gate is open now.",
]  # fmt: skip
GEOMVERSE = [
    ("The figure PQRS is a square with a side of 7. How large is its area? Give it with 2 decimals.",
     "A square with a side of 7 has an area of 7 * 7 = 49. So the area is 49."),
    ("The triangle KLM has sides of 6, 8 and 10. How long is the way around it? Give it with 2 decimals.",
     "The three sides together are 6 + 8 + 10 = 24. So the way around the triangle is 24."),
]  # fmt: skip
MIMIC_CGD = [
    ("What has the first image that the second one does not have?",
     "In the first image there is a table with two chairs, in the second one the room is empty."),
    ("In which places were the two images taken?",
     "The first image was taken in a forest, the second one in a station with many trains."),
    ("Is it raining in both images?", "Yes, in both images the people have umbrellas."),
]  # fmt: skip


def _clevr() -> Iterable[tuple[str, str]]:
    kinds = list(itertools.product(COLOURS, SHAPES))
    for number, ((colour, shape), (other, thing)) in enumerate(zip(kinds, kinds[5:], strict=False)):
        yield from (
            (f"How many things here are a {colour} {shape}?", f"{number % 4}."),
            (f"Does the {colour} {shape} stand near a {other} {thing}?", "Yes."),
            (f"What stuff is the {colour} {shape} between the door and the {other} {thing}?", "Metal."),
            (f"Is the {colour} {shape} smaller than the {other} {thing}?", "No."),
        )


def pairs() -> dict[str, list[tuple[str, str]]]:
    """Every sample by task: what the user and what the assistant say."""
    chosen: dict[str, list[tuple[str, str]]] = {
        task: [
            (f"{question}\n{BRIEF[(number + further) % len(BRIEF)]}", answer)
            for number, (question, answer) in enumerate(samples)
            for further in (0, 2)
        ]
        for task, samples in {**FREE, "clevr": list(_clevr())}.items()
    }
    # Some instructions stand before the question.
    chosen["tallyqa"] = [
        ("\n".join(reversed(user.split("\n"))), answer) for user, answer in chosen["tallyqa"]
    ]
    for task, samples in LETTERED.items():
        chosen[task] = [
            (
                f"Question: {question}\nChoices:\n"
                + "".join(f"{letter}. {option}\n" for letter, option in zip("ABCD", options, strict=False))
                + LETTER,
                f"Answer: {'ABCD'[right]}",
            )
            for question, options, right in samples
        ]
    chosen["iconqa"] += [
        ("Write what is missing. The train leaves at (_) o'clock.", "3"),
        ("How many buttons does the coat have?", "7"),
    ]
    chosen["aokvqa"] = [
        one
        for number, (question, options, answer, reason) in enumerate(AOKVQA)
        for one in (
            (
                f"{question}\n{PICK[number % len(PICK)]}\nOptions: {options.capitalize()}.",
                f"{answer.capitalize()}.",
            ),
            (
                f"{question}\n{PICK_AND_EXPLAIN[number % 2]}\nOptions: {options.capitalize()}.",
                f"Answer: {answer}.\nRationale: {reason}",
            ),
        )
    ]
    # Its instructions are in the question's own line, before and behind it.
    chosen["nlvr2"] = [
        (
            f"You see an image on the left and one on the right. {form.format(statement)} Say yes or no.",
            "Yes." if number % 2 else "No.",
        )
        for number, (statement, form) in enumerate(itertools.product(NLVR2, NLVR2_FORMS))
    ]
    chosen["raven"] = [*((one, "C") for one in PUZZLE), *((one, "Yes.") for one in FITS)]
    chosen["localized_narratives"] = list(zip(itertools.cycle(DESCRIBE), NARRATIVES, strict=False))
    chosen["spot_the_diff"] = list(zip(itertools.cycle(COMPARE), DIFFERENCES, strict=False))
    chosen["geomverse"], chosen["mimic_cgd"] = list(GEOMVERSE), list(MIMIC_CGD)
    return dict(sorted(chosen.items()))


TWO_IMAGES = ("mimic_cgd", "nlvr2", "spot_the_diff")


def draw_image(number: int) -> bytes:
    """A PNG of one colour; another number, another image."""
    file = io.BytesIO()
    Image.new("RGB", (32, 32), (number % 256, number // 256 % 256, 99)).save(file, "PNG")
    return file.getvalue()


def row(images: Sequence[bytes], texts: Iterable[tuple[Any, Any]], source: str) -> dict[str, Any]:
    """A row as the hub has it."""
    return {
        "images": [{"bytes": image, "path": None} for image in images],
        "texts": [{"user": user, "assistant": assistant, "source": source} for user, assistant in texts],
    }


def write_task(folder: Path, task: str, rows: Sequence[Mapping[str, Any]], files: int = 1) -> None:
    """Write a task as the hub lays it out, over so many files."""
    text = pa.string()
    schema = pa.schema(
        {
            "images": pa.list_(pa.struct({"bytes": pa.binary(), "path": text})),
            "texts": pa.list_(pa.struct({"user": text, "assistant": text, "source": text})),
        }
    )
    (folder / task).mkdir(parents=True, exist_ok=True)
    size = -(-len(rows) // files)
    for number in range(files):
        part = pa.Table.from_pylist(list(rows[number * size : (number + 1) * size]), schema=schema)
        name = f"train-{number:05d}-of-{files:05d}-0123456789abcdef.parquet"
        pq.write_table(part, folder / task / name, row_group_size=4)


def write_samples(folder: Path, pairs_a_row: int = 3) -> Path:
    """Write all samples, an image (or two) for every ``pairs_a_row`` of them; returns ``folder``."""
    for task, samples in pairs().items():
        rows = [
            row(
                [draw_image(start + 1000 * extra) for extra in range(1 + (task in TWO_IMAGES))],
                samples[start : start + pairs_a_row],
                task,
            )
            for start in range(0, len(samples), pairs_a_row)
        ]
        write_task(folder, task, rows, files=2 if len(rows) > 5 else 1)
    return folder


if __name__ == "__main__":
    write_samples(Path(sys.argv[1]))
