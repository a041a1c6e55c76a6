"""Scenes of the drawn world: one to four coloured shapes, at most one per quadrant; their texts and images.

An image is 112 x 112 pixels, so each quadrant is exactly one 56-pixel tile of the anyres grid.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from PIL import Image, ImageDraw

SIDE = 112  # pixels
QUADRANT = SIDE // 2


@dataclass(frozen=True)
class ShapeName:
    """A shape's name in Italian, with its articles and gender, and in English."""

    italian: str
    indefinite: str
    definite: str
    feminine: bool
    english: str


@dataclass(frozen=True)
class ColourName:
    """A colour: Italian masculine and feminine, English, RGB, and a fruit of that colour."""

    masculine: str
    feminine: str
    english: str
    rgb: tuple[int, int, int]
    fruit: str


SHAPES = (
    ShapeName("cerchio", "un", "il", False, "circle"),
    ShapeName("quadrato", "un", "il", False, "square"),
    ShapeName("triangolo", "un", "il", False, "triangle"),
    ShapeName("stella", "una", "la", True, "star"),
)
COLOURS = (
    ColourName("rosso", "rossa", "red", (205, 40, 40), "fragola"),
    ColourName("verde", "verde", "green", (40, 150, 60), "kiwi"),
    ColourName("blu", "blu", "blue", (45, 70, 200), "mirtillo"),
    ColourName("giallo", "gialla", "yellow", (225, 190, 30), "limone"),
)
PLACES = ("in alto a sinistra", "in alto a destra", "in basso a sinistra", "in basso a destra")
PLACES_ENGLISH = ("top left", "top right", "bottom left", "bottom right")
NUMBERS = ("zero", "una", "due", "tre", "quattro")
# Some shapes are more common than others, like the objects in POPE's images.
SHAPE_WEIGHTS = (0.31, 0.27, 0.23, 0.19)


@dataclass(frozen=True)
class ColouredShape:
    """A coloured shape, as indices into SHAPES and COLOURS."""

    shape: int
    colour: int

    @property
    def name(self) -> ShapeName:
        return SHAPES[self.shape]

    @property
    def colour_name(self) -> str:
        return COLOURS[self.colour].masculine

    def italian(self) -> str:
        name, colour = self.name, COLOURS[self.colour]
        return f"{name.indefinite} {name.italian} {colour.feminine if name.feminine else colour.masculine}"

    def english(self) -> str:
        return f"a {COLOURS[self.colour].english} {self.name.english}"


@dataclass(frozen=True)
class Scene:
    """The shapes in the four quadrants, in the order of PLACES; None is an empty quadrant."""

    quadrants: tuple[ColouredShape | None, ColouredShape | None, ColouredShape | None, ColouredShape | None]

    @property
    def placed_shapes(self) -> list[tuple[str, ColouredShape]]:
        """(Italian place, shape) of every quadrant that is not empty."""
        return [(place, shape) for place, shape in zip(PLACES, self.quadrants, strict=True) if shape]

    @property
    def shape_indices(self) -> list[int]:
        """The shapes as indices into SHAPES, one per quadrant that is not empty."""
        return [each.shape for _, each in self.placed_shapes]

    def caption(self) -> str:
        """One Italian sentence that names every shape, in reading order."""
        parts = [f"{shape.italian()} {place}" for place, shape in self.placed_shapes]
        sentence = ", ".join(parts)
        return f"{sentence[0].upper()}{sentence[1:]}."

    def caption_english(self) -> str:
        """The caption in English, for the projector stage."""
        parts = [
            f"{shape.english()} at the {place}"
            for place, shape in zip(PLACES_ENGLISH, self.quadrants, strict=True)
            if shape
        ]
        sentence = ", ".join(parts)
        return f"{sentence[0].upper()}{sentence[1:]}."

    def description(self) -> str:
        """A long Italian answer of several sentences."""
        count = len(self.placed_shapes)
        head = "una sola figura" if count == 1 else f"{NUMBERS[count]} figure"
        sentences = [f"L'immagine mostra {head} su uno sfondo chiaro."]
        for place, shape in self.placed_shapes:
            sentences.append(f"{place[0].upper()}{place[1:]} si vede {shape.italian()}.")
        absent = [name for index, name in enumerate(SHAPES) if index not in self.shape_indices]
        if absent:
            sentences.append(
                "Nella scena non compare " + " né ".join(f"{n.indefinite} {n.italian}" for n in absent) + "."
            )
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
            rgb = tuple(max(0, min(255, c + rng.randint(-18, 18))) for c in COLOURS[coloured.colour].rgb)
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
