"""Questions about drawn scenes, one function per kind, for the instruction stage and the benchmarks."""

from __future__ import annotations

import random
from collections.abc import Mapping

from miniature.worlds.questions import ChoiceQuestion, WorldQuestion, make_choice
from miniature.worlds.scenes import SHAPE_WEIGHTS, ColouredShape, Scene
from ndino.languages.lexicon import COLOURS, SHAPES, Lexicon


def colour(scene: Scene, words: Lexicon, rng: random.Random) -> WorldQuestion | None:
    """Ask for the colour of a shape that occurs once; None if every shape occurs more often."""
    shape = _single_shape(scene, rng)
    return shape and _about_colour("colour", words.colour_question, words.colours, shape, words)


def count(scene: Scene, words: Lexicon) -> WorldQuestion:
    """Ask for the number of shapes."""
    return WorldQuestion("count", words.count_question, words.numbers[len(scene.placed_shapes) - 1])


def place(scene: Scene, words: Lexicon, rng: random.Random) -> WorldQuestion:
    """Ask for the shape in a quadrant that is not empty."""
    where, shape = rng.choice(scene.placed_shapes)
    text = words.place_question.format(place=words.places[where])
    return WorldQuestion("place", text, words.shapes[SHAPES[shape.shape]]["name"])


def fruit(scene: Scene, words: Lexicon, rng: random.Random) -> WorldQuestion | None:
    """Ask for a fruit of a shape's colour, which needs knowledge from outside the image, as OK-VQA does."""
    shape = _single_shape(scene, rng)
    return shape and _about_colour("fruit", words.fruit_question, words.fruits, shape, words)


def _single_shape(scene: Scene, rng: random.Random) -> ColouredShape | None:
    once = [each for _, each in scene.placed_shapes if scene.shape_indices.count(each.shape) == 1]
    return rng.choice(once) if once else None


def _about_colour(
    kind: str, question: str, answers: Mapping[str, str], shape: ColouredShape, words: Lexicon
) -> WorldQuestion:
    text = question.format_map(words.shapes[SHAPES[shape.shape]])
    return WorldQuestion(kind, text, answers[COLOURS[shape.colour]])


def presence(scene: Scene, words: Lexicon, shape: int) -> WorldQuestion:
    """Ask whether the image shows a shape (an index into SHAPES), as POPE does."""
    answer = words.yes if shape in scene.shape_indices else words.no
    return WorldQuestion("presence", words.presence_question.format_map(words.shapes[SHAPES[shape]]), answer)


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


def choice(scene: Scene, words: Lexicon, rng: random.Random) -> ChoiceQuestion:
    """Ask, with four options, what is in a quadrant that is not empty."""
    where, shape = rng.choice(scene.placed_shapes)
    phrases = [words.shapes[name][colour] for name in SHAPES for colour in COLOURS]
    right = shape.phrase(words)
    wrong = rng.sample([phrase for phrase in phrases if phrase != right], 3)
    return make_choice(words.choice_question.format(place=words.places[where]), right, wrong, rng)
