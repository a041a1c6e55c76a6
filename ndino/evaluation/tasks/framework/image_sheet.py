"""One image that shows several, numbered: models of one image can be asked about the images of a question."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from ndino.common.images import encode_image

MARGIN, LABEL = 8, 24  # pixels around each image, and the height of the number above it


def sheet_of(images: Sequence[Image.Image]) -> bytes:
    """A PNG that shows RGB images beside and below one another on white, each under its number: [1], [2], …

    None is scaled. Rows and columns are as equal in number as they can be, with no fewer columns than rows.
    """
    columns = math.ceil(math.sqrt(len(images)))
    rows = math.ceil(len(images) / columns)
    width = max(image.width for image in images) + 2 * MARGIN
    height = max(image.height for image in images) + LABEL + 2 * MARGIN
    sheet = Image.new("RGB", (columns * width, rows * height), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(18)
    for number, image in enumerate(images):
        left, top = number % columns * width + MARGIN, number // columns * height + MARGIN
        pen.text((left, top), f"[{number + 1}]", fill="black", font=font)
        sheet.paste(image, (left, top + LABEL))
    return encode_image(sheet, "PNG")
