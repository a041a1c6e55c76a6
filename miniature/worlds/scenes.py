"""Scenes of the drawn world: one to four coloured shapes, at most one per quadrant; their texts and images.

The texts are made of a language's `Lexicon`. An image is 112 x 112 pixels, so each quadrant is exactly one
56-pixel tile of the anyres grid.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from PIL import Image, ImageDraw

from ndino.languages.lexicon import COLOURS, PLACES, SHAPES, Lexicon

SIDE = 112  # pixels
QUADRANT = SIDE // 2
# Red, green, blue, of each of COLOURS.
RGB = ((205, 40, 40), (40, 150, 60), (45, 70, 200), (225, 190, 30))
# Some shapes are more common than others, like the objects in POPE's images.
SHAPE_WEIGHTS = (0.31, 0.27, 0.23, 0.19)


@dataclass(frozen=True)
class ColouredShape:
    """A coloured shape, as indices into SHAPES and COLOURS."""

    shape: int
    colour: int

    def phrase(self, words: Lexicon) -> str:
        """The shape with its colour: "a red circle"."""
        return words.shapes[SHAPES[self.shape]][COLOURS[self.colour]]


@dataclass(frozen=True)
class Scene:
    """The shapes in the four quadrants, in the order of PLACES; None is an empty quadrant."""

    quadrants: tuple[ColouredShape | None, ColouredShape | None, ColouredShape | None, ColouredShape | None]

    @property
    def placed_shapes(self) -> list[tuple[str, ColouredShape]]:
        """(place, shape) of every quadrant that is not empty."""
        return [(place, shape) for place, shape in zip(PLACES, self.quadrants, strict=True) if shape]

    @property
    def shape_indices(self) -> list[int]:
        """The shapes as indices into SHAPES, one per quadrant that is not empty."""
        return [each.shape for _, each in self.placed_shapes]

    def caption(self, words: Lexicon) -> str:
        """One sentence that names every shape, in reading order."""
        shapes = [
            words.caption_shape.format(shape=shape.phrase(words), place=words.places[place])
            for place, shape in self.placed_shapes
        ]
        return _capitalized(words.caption.format(shapes=words.caption_joint.join(shapes)))

    def description(self, words: Lexicon) -> str:
        """A long answer of several sentences."""
        sentences = [words.counts[len(self.placed_shapes) - 1]]
        for place, shape in self.placed_shapes:
            sentence = words.placed.format(place=words.places[place], shape=shape.phrase(words))
            sentences.append(_capitalized(sentence))
        absent = [words.shapes[name] for index, name in enumerate(SHAPES) if index not in self.shape_indices]
        if absent:
            forms = set(absent[0]).intersection(*absent[1:])
            joined = {form: words.absent_joint.join(shape[form] for shape in absent) for form in forms}
            sentences.append(words.absent.format_map(joined))
        return " ".join(sentences)

    def draw(self, rng: random.Random) -> Image.Image:
        """Draw the scene (RGB, 112 x 112); positions, sizes, shades and background are random."""
        shade = rng.randint(225, 250)
        image = Image.new("RGB", (SIDE, SIDE), (shade, shade, rng.randint(225, 250)))
        pen = ImageDraw.Draw(image)
        for index, coloured in enumerate(self.quadrants):
            if coloured is None:
                continue
            radius = rng.randint(15, 22)
            x = QUADRANT * (index % 2) + rng.randint(radius + 2, QUADRANT - radius - 2)
            y = QUADRANT * (index // 2) + rng.randint(radius + 2, QUADRANT - radius - 2)
            rgb = tuple(max(0, min(255, c + rng.randint(-18, 18))) for c in RGB[coloured.colour])
            _draw_shape(pen, coloured.shape, x, y, radius, rgb)
        return image


def random_scene(rng: random.Random) -> Scene:
    """Draw a scene of one to four shapes in random quadrants: shapes by SHAPE_WEIGHTS, colours uniformly."""
    count = rng.randint(1, 4)
    places = set(rng.sample(range(4), count))
    first, second, third, fourth = (
        ColouredShape(rng.choices(range(len(SHAPES)), SHAPE_WEIGHTS)[0], rng.randrange(len(COLOURS)))
        if index in places
        else None
        for index in range(4)
    )
    return Scene((first, second, third, fourth))


def distinct_scenes(rng: random.Random, number: int) -> list[Scene]:
    """Draw ``number`` different scenes, so that no part of the list can leak into another."""
    scenes: dict[Scene, None] = {}
    while len(scenes) < number:
        scenes[random_scene(rng)] = None
    return list(scenes)


def _capitalized(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]


def _draw_shape(
    pen: ImageDraw.ImageDraw, shape: int, x: int, y: int, radius: int, rgb: tuple[int, ...]
) -> None:
    if shape == 0:
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=rgb)
    elif shape == 1:
        side = round(radius * 0.85)
        pen.rectangle((x - side, y - side, x + side, y + side), fill=rgb)
    elif shape == 2:
        pen.polygon(
            [(x, y - radius), (x + radius, y + radius * 0.8), (x - radius, y + radius * 0.8)], fill=rgb
        )
    else:
        # A four-pointed star of two thin diamonds: distinct from the other shapes even in a small patch.
        waist = radius * 0.28
        pen.polygon(
            [
                (x, y - radius),
                (x + waist, y - waist),
                (x + radius, y),
                (x + waist, y + waist),
                (x, y + radius),
                (x - waist, y + waist),
                (x - radius, y),
                (x - waist, y - waist),
            ],
            fill=rgb,
        )
