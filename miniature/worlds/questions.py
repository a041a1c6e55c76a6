"""Questions about scenes, by kind: what the instruction stage trains on and the benchmarks ask."""

from __future__ import annotations

import random
from dataclasses import dataclass

from miniature.worlds.scenes import COLOURS, NUMBERS, SHAPE_WEIGHTS, SHAPES, Scene

LETTERS = "ABCD"


@dataclass(frozen=True)
class Question:
    """A question without its post-prompt, and its answer."""

    kind: str
    text: str
    answer: str


@dataclass(frozen=True)
class Choice:
    """A question with four options; ``answer`` is the letter of the right one."""

    text: str
    options: tuple[str, str, str, str]
    answer: str


def colour(scene: Scene, rng: random.Random) -> Question | None:
    """The colour of a shape that occurs once."""
    once = [thing for _, thing in scene.things if scene.shapes.count(thing.shape) == 1]
    if not once:
        return None
    thing = rng.choice(once)
    return Question(
        "colour", f"Di che colore è {thing.noun.definite} {thing.noun.italian}?", thing.colour_name
    )


def count(scene: Scene, rng: random.Random) -> Question:
    """The number of things."""
    return Question("count", "Quante figure ci sono nell'immagine?", NUMBERS[len(scene.things)])


def place(scene: Scene, rng: random.Random) -> Question:
    """The shape in a quadrant that is not empty."""
    where, thing = rng.choice(scene.things)
    return Question("place", f"Quale figura si trova {where}?", thing.noun.italian)


def fruit(scene: Scene, rng: random.Random) -> Question | None:
    """A fruit of a shape's colour: needs knowledge from outside the image, as OK-VQA does."""
    asked = colour(scene, rng)
    if asked is None:
        return None
    name = asked.text.removeprefix("Di che colore è ")
    fruit_name = next(c.fruit for c in COLOURS if c.masculine == asked.answer)
    return Question("fruit", f"Quale frutto ha lo stesso colore di: {name}", fruit_name)


def presence(scene: Scene, shape: int) -> Question:
    """POPE's question for a shape."""
    noun = SHAPES[shape]
    answer = "sì" if shape in scene.shapes else "no"
    return Question("presence", f"C'è {noun.indefinite} {noun.italian} nell'immagine?", answer)


def absent_shape(scene: Scene, category: str, rng: random.Random) -> int | None:
    """A shape that is not there: any (random), the commonest (popular) or one alike (adversarial)."""
    absent = [shape for shape in range(len(SHAPES)) if shape not in scene.shapes]
    if not absent:
        return None
    if category == "random":
        return rng.choice(absent)
    if category == "popular":
        return max(absent, key=SHAPE_WEIGHTS.__getitem__)
    present = set(scene.shapes)
    # Shapes look like their neighbours in the list (circle and square are both compact, and so on).
    return min(absent, key=lambda shape: min(abs(shape - other) for other in present))


def choice(scene: Scene, rng: random.Random) -> Choice:
    """Multiple choice on what stands in a quadrant."""
    where, thing = rng.choice(scene.things)
    others = [
        f"{noun.indefinite} {noun.italian} {c.feminine if noun.feminine else c.masculine}"
        for noun in SHAPES
        for c in COLOURS
    ]
    right = thing.italian()
    wrong = rng.sample([other for other in others if other != right], 3)
    return make_choice(f"Che cosa si trova {where}?", right, wrong, rng)


def make_choice(text: str, right: str, wrong: list[str], rng: random.Random) -> Choice:
    """A multiple-choice question with its options in random order."""
    options = [right, *wrong]
    rng.shuffle(options)
    return Choice(text, tuple(options), LETTERS[options.index(right)])
