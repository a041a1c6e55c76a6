"""Scenes of the drawn world: up to four coloured shapes, one a quadrant, and what can be said about them.

An image is 112 x 112 pixels, so each quadrant is exactly one 56-pixel tile of the anyres grid.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from PIL import Image, ImageDraw

SIDE = 112
QUADRANT = SIDE // 2


@dataclass(frozen=True)
class Noun:
    """A shape's name in Italian with its articles, and in English."""

    italian: str
    indefinite: str
    definite: str
    feminine: bool
    english: str


@dataclass(frozen=True)
class Adjective:
    """A colour: Italian masculine and feminine, English, RGB, and a fruit of that colour."""

    masculine: str
    feminine: str
    english: str
    rgb: tuple[int, int, int]
    fruit: str


SHAPES = (
    Noun("cerchio", "un", "il", False, "circle"),
    Noun("quadrato", "un", "il", False, "square"),
    Noun("triangolo", "un", "il", False, "triangle"),
    Noun("stella", "una", "la", True, "star"),
)
COLOURS = (
    Adjective("rosso", "rossa", "red", (205, 40, 40), "fragola"),
    Adjective("verde", "verde", "green", (40, 150, 60), "kiwi"),
    Adjective("blu", "blu", "blue", (45, 70, 200), "mirtillo"),
    Adjective("giallo", "gialla", "yellow", (225, 190, 30), "limone"),
)
PLACES = ("in alto a sinistra", "in alto a destra", "in basso a sinistra", "in basso a destra")
PLACES_ENGLISH = ("top left", "top right", "bottom left", "bottom right")
NUMBERS = ("zero", "una", "due", "tre", "quattro")
# Some shapes are commoner than others, as objects are in POPE's images.
SHAPE_WEIGHTS = (0.31, 0.27, 0.23, 0.19)


@dataclass(frozen=True)
class Thing:
    """A coloured shape, as indices into SHAPES and COLOURS."""

    shape: int
    colour: int

    @property
    def noun(self) -> Noun:
        return SHAPES[self.shape]

    @property
    def colour_name(self) -> str:
        return COLOURS[self.colour].masculine

    def italian(self) -> str:
        noun, colour = self.noun, COLOURS[self.colour]
        return f"{noun.indefinite} {noun.italian} {colour.feminine if noun.feminine else colour.masculine}"

    def english(self) -> str:
        return f"a {COLOURS[self.colour].english} {self.noun.english}"


@dataclass(frozen=True)
class Scene:
    """What stands in the four quadrants, in the order of PLACES; None is empty."""

    quadrants: tuple[Thing | None, Thing | None, Thing | None, Thing | None]

    @property
    def things(self) -> list[tuple[str, Thing]]:
        return [(place, thing) for place, thing in zip(PLACES, self.quadrants, strict=True) if thing]

    @property
    def shapes(self) -> list[int]:
        return [thing.shape for _, thing in self.things]

    def caption(self) -> str:
        """One Italian sentence that names everything, in reading order."""
        parts = [f"{thing.italian()} {place}" for place, thing in self.things]
        sentence = ", ".join(parts)
        return f"{sentence[0].upper()}{sentence[1:]}."

    def caption_english(self) -> str:
        """The same in English, for the projector stage."""
        parts = [
            f"{thing.english()} at the {place}"
            for place, thing in zip(PLACES_ENGLISH, self.quadrants, strict=True)
            if thing
        ]
        sentence = ", ".join(parts)
        return f"{sentence[0].upper()}{sentence[1:]}."

    def description(self) -> str:
        """A long Italian answer of several sentences."""
        count = len(self.things)
        head = "una sola figura" if count == 1 else f"{NUMBERS[count]} figure"
        sentences = [f"L'immagine mostra {head} su uno sfondo chiaro."]
        for place, thing in self.things:
            sentences.append(f"{place[0].upper()}{place[1:]} si vede {thing.italian()}.")
        absent = [noun for index, noun in enumerate(SHAPES) if index not in self.shapes]
        if absent:
            sentences.append(
                "Nella scena non compare " + " né ".join(f"{n.indefinite} {n.italian}" for n in absent) + "."
            )
        return " ".join(sentences)

    def draw(self, rng: random.Random) -> Image.Image:
        """An image of the scene; place, size, shade and background vary with ``rng``."""
        shade = rng.randint(225, 250)
        image = Image.new("RGB", (SIDE, SIDE), (shade, shade, rng.randint(225, 250)))
        pen = ImageDraw.Draw(image)
        for index, thing in enumerate(self.quadrants):
            if thing is None:
                continue
            radius = rng.randint(15, 22)
            x = QUADRANT * (index % 2) + rng.randint(radius + 2, QUADRANT - radius - 2)
            y = QUADRANT * (index // 2) + rng.randint(radius + 2, QUADRANT - radius - 2)
            rgb = tuple(max(0, min(255, c + rng.randint(-18, 18))) for c in COLOURS[thing.colour].rgb)
            _draw_shape(pen, thing.shape, x, y, radius, rgb)
        return image


def random_scene(rng: random.Random) -> Scene:
    """One to four things in random quadrants, shapes by SHAPE_WEIGHTS, colours alike."""
    count = rng.randint(1, 4)
    places = set(rng.sample(range(4), count))
    return Scene(
        tuple(
            Thing(rng.choices(range(len(SHAPES)), SHAPE_WEIGHTS)[0], rng.randrange(len(COLOURS)))
            if index in places
            else None
            for index in range(4)
        )
    )


def distinct_scenes(rng: random.Random, number: int) -> list[Scene]:
    """Scenes no two of which are alike, so that any split of the list is an honest one."""
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
        # A four-pointed star: a cross of two thin diamonds, unlike the other three even at patch size.
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
