"""A scene's image and texts show what the scene holds, and scenes are distinct."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from miniature.worlds.scenes import COLOURS, PLACES, QUADRANT, SHAPES, distinct_scenes, random_scene

seeds = st.integers(0, 2**32)


def centre_colour(image: Image.Image, quadrant: int) -> tuple[int, int, int]:
    """The most saturated pixel of a quadrant, which is a pixel of its shape."""
    left, top = QUADRANT * (quadrant % 2), QUADRANT * (quadrant // 2)
    pixels = image.crop((left, top, left + QUADRANT, top + QUADRANT)).getdata()
    return max(pixels, key=lambda pixel: max(pixel) - min(pixel))


@given(seed=seeds)
def test_the_image_shows_what_the_scene_says(seed):
    rng = random.Random(seed)
    scene = random_scene(rng)
    image = scene.draw(rng)
    for quadrant, thing in enumerate(scene.quadrants):
        pixel = centre_colour(image, quadrant)
        if thing is None:
            assert max(pixel) - min(pixel) < 40
        else:
            nearest = min(
                range(len(COLOURS)),
                key=lambda c: sum((a - b) ** 2 for a, b in zip(COLOURS[c].rgb, pixel, strict=True)),
            )
            assert nearest == thing.colour


@given(seed=seeds)
def test_texts_name_every_thing_and_nothing_else(seed):
    scene = random_scene(random.Random(seed))
    caption, description = scene.caption(), scene.description()
    for place, quadrant in zip(PLACES, scene.quadrants, strict=True):
        assert (place in caption) == (quadrant is not None)
        assert (place in description.lower()) == (quadrant is not None)
    assert caption.count(",") == len(scene.placed_shapes) - 1
    for index, noun in enumerate(SHAPES):
        assert (noun.italian in caption) == (index in scene.shape_indices)
        assert noun.italian in description


def test_scenes_are_distinct_and_follow_from_the_seed():
    scenes = distinct_scenes(random.Random(1), 500)
    assert len(set(scenes)) == 500
    assert scenes == distinct_scenes(random.Random(1), 500)
    assert scenes != distinct_scenes(random.Random(2), 500)
