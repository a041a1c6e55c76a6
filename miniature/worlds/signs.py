"""Draw signs with words and exam sheets: images that a model must read."""

from __future__ import annotations

import random
import unicodedata
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, features

from miniature.worlds.scenes import SIDE
from ndino.languages.language import LanguageError
from ndino.languages.lexicon import Lexicon


@dataclass(frozen=True)
class ExamSheet:
    """An exam sheet: an addition with four options."""

    left: int
    right: int
    options: tuple[int, int, int, int]

    @property
    def answer(self) -> str:
        """The letter of the right option."""
        return "ABCD"[self.options.index(self.left + self.right)]

    def draw(self, rng: random.Random) -> Image.Image:
        """Draw the sheet (RGB, 112 x 112); position and background are random."""
        image = Image.new("RGB", (SIDE, SIDE), (250, 250, rng.randint(235, 250)))
        pen = ImageDraw.Draw(image)
        pen.text(
            (rng.randint(6, 14), 4), f"{self.left} + {self.right} = ?", fill=(20, 20, 30), font=_font(20)
        )
        for row, option in enumerate(self.options):
            pen.text((14, 30 + 20 * row), f"{'ABCD'[row]}) {option}", fill=(20, 20, 30), font=_font(16))
        return image


def random_sheet(rng: random.Random) -> ExamSheet:
    """Draw an addition of one-digit numbers, with three wrong results close to the right one."""
    left, right = rng.randint(1, 9), rng.randint(1, 9)
    wrong = [
        value for value in range(left + right - 4, left + right + 5) if value > 0 and value != left + right
    ]
    options = [left + right, *rng.sample(wrong, 3)]
    rng.shuffle(options)
    first, second, third, fourth = options
    return ExamSheet(left, right, (first, second, third, fourth))


def draw_sign(word: str, family: str, rng: random.Random) -> Image.Image:
    """Draw a board with a word on it (RGB, 112 x 112); colours and position are random.

    ``family`` is a font of `font_for`.
    """
    background = tuple(rng.randint(215, 250) for _ in range(3))
    board = rng.choice([(30, 70, 140), (150, 30, 30), (30, 100, 50), (60, 60, 60)])
    image = Image.new("RGB", (SIDE, SIDE), background)
    pen = ImageDraw.Draw(image)
    top = rng.randint(24, 46)
    pen.rectangle((4, top, SIDE - 4, top + 34), fill=board)
    pen.text(
        (SIDE // 2, top + 17),
        word,
        fill=(250, 250, 250),
        font=_font(20 if len(word) < 7 else 16, family, _layout(word)),
        anchor="mm",
    )
    return image


def font_for(words: Lexicon) -> str:
    """The font in which a language's signs can be read: a file, or "" for Pillow's own.

    Raises:
        LanguageError: neither of the fonts that every machine has can draw them, or they are written from
            right to left and FriBiDi, which orders them so, is not installed.
    """
    if any(map(_is_right_to_left, words.signs)) and not features.check("raqm"):
        raise LanguageError(
            f"language {words.code!r}: without FriBiDi, Pillow draws the words on signs from left to right "
            "(remedy: apt-get install libfribidi0)"
        )
    lacking: list[str] = []
    for family in ("", _dejavu()):
        lacking = [word for word in words.signs if _lacks_letters(word, family)]
        # Pillow's has no accented letters. A few words without one of their letters do no harm.
        if len(lacking) <= len(words.signs) // 10:
            return family
    raise LanguageError(
        f"language {words.code!r}: no font here has the letters of miniature.signs, such as {lacking[0]!r} "
        f"(remedy: write them in Latin letters in ndino/languages/{words.code}.yaml)"
    )


def _lacks_letters(word: str, family: str) -> bool:
    # What a font does not have, it draws as one and the same box.
    return any(_glyph(letter, family) == _glyph("\uffff", family) for letter in word)


@cache
def _glyph(letter: str, family: str) -> bytes:
    image = Image.new("L", (32, 32))
    ImageDraw.Draw(image).text((4, 4), letter, fill=255, font=_font(16, family))
    return image.tobytes()


def _dejavu() -> str:
    from matplotlib import get_data_path

    return str(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf")


@cache
def _font(
    size: int, family: str = "", layout: ImageFont.Layout = ImageFont.Layout.BASIC
) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    # Fonts that come with Python packages, so that every machine draws the same letters.
    if not family:
        return ImageFont.load_default(size)
    return ImageFont.truetype(family, size, layout_engine=layout)


def _layout(word: str) -> ImageFont.Layout:
    # Raqm joins Arabic letters and turns the line round. It needs FriBiDi, which not every machine has, and
    # spaces letters in another way: what can be drawn without it looks the same everywhere.
    return ImageFont.Layout.RAQM if _is_right_to_left(word) else ImageFont.Layout.BASIC


def _is_right_to_left(word: str) -> bool:
    return any(unicodedata.bidirectional(letter) in ("R", "AL") for letter in word)
