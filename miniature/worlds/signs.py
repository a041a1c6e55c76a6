"""Draw signs with Italian words and exam sheets: images that a model must read."""

from __future__ import annotations

import random
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from miniature.worlds.scenes import SIDE

WORDS = (
    "BAR", "PANE", "USCITA", "APERTO", "CHIUSO", "STOP", "LATTE", "VINO", "TAXI", "POSTA", "SCUOLA", "FIORI",
    "PESCE", "LIBRI", "HOTEL", "MUSEO", "PARCO", "TRENO", "PIZZA", "GELATO", "BANCA", "TEATRO", "MARE",
    "CASSA", "ENTRATA", "ACQUA", "CAFFÈ", "FRUTTA", "DOLCI", "SCARPE", "CINEMA", "OSPEDALE", "MERCATO",
    "STAZIONE", "SALE", "TABACCHI", "EDICOLA", "FARMACIA", "PORTO", "PONTE",
)  # fmt: skip
SIGN_QUESTION = "Che cosa c'è scritto sul cartello?"
SHEET_QUESTION = "Risolvi l'esercizio mostrato nell'immagine."


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


def draw_sign(word: str, rng: random.Random) -> Image.Image:
    """Draw a board with a word on it (RGB, 112 x 112); colours and position are random."""
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
        font=_font(20 if len(word) < 7 else 16),
        anchor="mm",
    )
    return image


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    # Pillow's built-in scalable font, so that every machine draws the same letters.
    return ImageFont.load_default(size)
