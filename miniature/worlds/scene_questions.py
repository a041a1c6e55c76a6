"""Questions about drawn scenes, one function per kind, for the instruction stage and the benchmarks."""

from __future__ import annotations

import random

from miniature.worlds.questions import ChoiceQuestion, WorldQuestion, make_choice
from miniature.worlds.scenes import COLOURS, NUMBERS, SHAPE_WEIGHTS, SHAPES, Scene


def colour(scene: Scene, rng: random.Random) -> WorldQuestion | None:
    """Ask for the colour of a shape that occurs once; None if every shape occurs more often."""
    once = [each for _, each in scene.placed_shapes if scene.shape_indices.count(each.shape) == 1]
    if not once:
        return None
    shape = rng.choice(once)
    return WorldQuestion(
        "colour", f"Di che colore è {shape.name.definite} {shape.name.italian}?", shape.colour_name
    )


def count(scene: Scene, rng: random.Random) -> WorldQuestion:
    """Ask for the number of shapes."""
    return WorldQuestion("count", "Quante figure ci sono nell'immagine?", NUMBERS[len(scene.placed_shapes)])


def place(scene: Scene, rng: random.Random) -> WorldQuestion:
    """Ask for the shape in a quadrant that is not empty."""
    where, shape = rng.choice(scene.placed_shapes)
    return WorldQuestion("place", f"Quale figura si trova {where}?", shape.name.italian)


def fruit(scene: Scene, rng: random.Random) -> WorldQuestion | None:
    """Ask for a fruit of a shape's colour, which needs knowledge from outside the image, as OK-VQA does."""
    about_colour = colour(scene, rng)
    if about_colour is None:
        return None
    name = about_colour.text.removeprefix("Di che colore è ")
    fruit_name = next(c.fruit for c in COLOURS if c.masculine == about_colour.answer)
    return WorldQuestion("fruit", f"Quale frutto ha lo stesso colore di: {name}", fruit_name)


def presence(scene: Scene, shape: int) -> WorldQuestion:
    """Ask whether the image shows a shape (an index into SHAPES), as POPE does."""
    name = SHAPES[shape]
    answer = "sì" if shape in scene.shape_indices else "no"
    return WorldQuestion("presence", f"C'è {name.indefinite} {name.italian} nell'immagine?", answer)


def absent_shape(scene: Scene, category: str, rng: random.Random) -> int | None:
    """Choose a shape that the scene lacks, by POPE's categories; None if the scene has every shape.

    "random" is any of them, "popular" the most common one, "adversarial" the one most similar to a shape that
    is there.
    """
    absent = [shape for shape in range(len(SHAPES)) if shape not in scene.shape_indices]
    if not absent:
        return None
    if category == "random":
        return rng.choice(absent)
    if category == "popular":
        return max(absent, key=SHAPE_WEIGHTS.__getitem__)
    present = set(scene.shape_indices)
    # SHAPES is sorted by similarity: neighbours look alike (circle and square, square and triangle).
    return min(absent, key=lambda shape: min(abs(shape - other) for other in present))


def choice(scene: Scene, rng: random.Random) -> ChoiceQuestion:
    """Ask, with four options, what is in a quadrant that is not empty."""
    where, shape = rng.choice(scene.placed_shapes)
    others = [
        f"{name.indefinite} {name.italian} {c.feminine if name.feminine else c.masculine}"
        for name in SHAPES
        for c in COLOURS
    ]
    right = shape.italian()
    wrong = rng.sample([other for other in others if other != right], 3)
    return make_choice(f"Che cosa si trova {where}?", right, wrong, rng)
