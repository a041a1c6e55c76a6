"""A scene's image and texts show what the scene holds, and scenes are distinct."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from miniature.worlds.scenes import QUADRANT, RGB, ColouredShape, Scene, distinct_scenes, random_scene
from ndino.languages.lexicon import SHAPES, lexicon

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
                range(len(RGB)),
                key=lambda c: sum((a - b) ** 2 for a, b in zip(RGB[c], pixel, strict=True)),
            )
            assert nearest == thing.colour


@pytest.mark.parametrize("code", ["it", "en", "es"])
@given(seed=seeds)
def test_texts_name_every_thing_and_nothing_else(code, seed):
    words = lexicon(code)
    scene = random_scene(random.Random(seed))
    caption, description = scene.caption(words), scene.description(words)
    for place, quadrant in zip(words.places.values(), scene.quadrants, strict=True):
        assert (place in caption) == (quadrant is not None)
        assert (place in description.lower()) == (quadrant is not None)
    assert caption.count(",") == len(scene.placed_shapes) - 1
    for index, shape in enumerate(SHAPES):
        name = words.shapes[shape]["name"]
        assert (name in caption) == (index in scene.shape_indices)
        assert name in description


@pytest.mark.parametrize(
    ("code", "caption", "description"),
    [
        (
            "it",
            "Un cerchio giallo in alto a sinistra, una stella rossa in basso a destra.",
            "L'immagine mostra due figure su uno sfondo chiaro. "
            "In alto a sinistra si vede un cerchio giallo. In basso a destra si vede una stella rossa. "
            "Nella scena non compare un quadrato né un triangolo.",
        ),
        (
            "es",
            "Un círculo amarillo arriba a la izquierda, una estrella roja abajo a la derecha.",
            "La imagen muestra dos figuras sobre un fondo claro. "
            "Arriba a la izquierda se ve un círculo amarillo. Abajo a la derecha se ve una estrella roja. "
            "En la escena no aparece ningún cuadrado ni ningún triángulo.",
        ),
    ],
)
def test_a_scene_in_words(code, caption, description):
    scene = Scene((ColouredShape(0, 3), None, None, ColouredShape(3, 0)))
    assert scene.caption(lexicon(code)) == caption
    assert scene.description(lexicon(code)) == description


def test_scenes_are_distinct_and_follow_from_the_seed():
    scenes = distinct_scenes(random.Random(1), 500)
    assert len(set(scenes)) == 500
    assert scenes == distinct_scenes(random.Random(1), 500)
    assert scenes != distinct_scenes(random.Random(2), 500)
