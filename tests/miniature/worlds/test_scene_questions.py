"""The answers to questions about a scene follow from the scene."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miniature.worlds import scene_questions as questions
from miniature.worlds.questions import LETTERS
from miniature.worlds.scenes import random_scene
from ndino.languages.lexicon import COLOURS, PLACES, SHAPES, lexicon

seeds = st.integers(0, 2**32)


@pytest.mark.parametrize("code", ["it", "es"])
@given(seed=seeds)
def test_answers_follow_from_the_scene(code, seed):
    words = lexicon(code)
    rng = random.Random(seed)
    scene = random_scene(rng)
    assert words.numbers.index(questions.count(scene, words).answer) + 1 == len(scene.placed_shapes)
    for ask, answers in ((questions.colour, words.colours), (questions.fruit, words.fruits)):
        if asked := ask(scene, words, rng):
            (coloured,) = [
                shape
                for _, shape in scene.placed_shapes
                if words.shapes[SHAPES[shape.shape]]["name"] in asked.text
            ]
            assert asked.answer == answers[COLOURS[coloured.colour]]
    asked = questions.place(scene, words, rng)
    (place,) = [place for place in PLACES if words.places[place] in asked.text]
    assert asked.answer == words.shapes[SHAPES[dict(scene.placed_shapes)[place].shape]]["name"]
    for shape in range(len(SHAPES)):
        answer = questions.presence(scene, words, shape).answer
        assert answer == (words.yes if shape in scene.shape_indices else words.no)
    for category in ("random", "popular", "adversarial"):
        absent = questions.absent_shape(scene, category, rng)
        assert absent not in scene.shape_indices
        assert (absent is None) == (len(set(scene.shape_indices)) == len(SHAPES))
    choice = questions.choice(scene, words, rng)
    right = choice.options[LETTERS.index(choice.answer)]
    assert len(set(choice.options)) == 4
    (place,) = [place for place in PLACES if words.places[place] in choice.text]
    assert dict(scene.placed_shapes)[place].phrase(words) == right
