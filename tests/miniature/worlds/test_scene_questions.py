"""The answers to questions about a scene follow from the scene."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from miniature.worlds import scene_questions as questions
from miniature.worlds.questions import LETTERS
from miniature.worlds.scenes import NUMBERS, PLACES, SHAPES, random_scene

seeds = st.integers(0, 2**32)


@given(seed=seeds)
def test_answers_follow_from_the_scene(seed):
    rng = random.Random(seed)
    scene = random_scene(rng)
    assert NUMBERS.index(questions.count(scene, rng).answer) == len(scene.placed_shapes)
    if asked := questions.colour(scene, rng):
        (coloured,) = [shape for _, shape in scene.placed_shapes if shape.name.italian in asked.text]
        assert asked.answer == coloured.colour_name
    for shape in range(len(SHAPES)):
        assert (questions.presence(scene, shape).answer == "sì") == (shape in scene.shape_indices)
    for category in ("random", "popular", "adversarial"):
        absent = questions.absent_shape(scene, category, rng)
        assert absent not in scene.shape_indices
        assert (absent is None) == (len(set(scene.shape_indices)) == len(SHAPES))
    choice = questions.choice(scene, rng)
    right = choice.options[LETTERS.index(choice.answer)]
    assert len(set(choice.options)) == 4
    (place,) = [place for place in PLACES if place in choice.text]
    assert dict(scene.placed_shapes)[place].italian() == right
