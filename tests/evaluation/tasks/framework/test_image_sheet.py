from __future__ import annotations

import io

from PIL import Image

from ndino.evaluation.tasks.framework.image_sheet import LABEL, MARGIN, sheet_of

COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]


def test_each_image_is_whole_in_a_cell_of_its_own_under_a_number():
    sizes = [(40, 30), (20, 60), (50, 10)]
    images = [Image.new("RGB", size, colour) for size, colour in zip(sizes, COLOURS, strict=True)]
    sheet = Image.open(io.BytesIO(sheet_of(images)))
    width, height = 50 + 2 * MARGIN, 60 + LABEL + 2 * MARGIN
    assert sheet.mode == "RGB" and sheet.size == (2 * width, 2 * height)
    for number, (size, colour) in enumerate(zip(sizes, COLOURS, strict=True)):
        left, top = number % 2 * width + MARGIN, number // 2 * height + MARGIN
        shown = sheet.crop((left, top + LABEL, left + size[0], top + LABEL + size[1]))
        assert shown.getcolors() == [(size[0] * size[1], colour)]
        label = sheet.crop((left, top, left + 50, top + LABEL))
        assert (255, 255, 255) in {colour for _, colour in label.getcolors(10_000)}
        assert len(label.getcolors(10_000)) > 1
    assert sheet.getpixel((2 * width - 1, 2 * height - 1)) == (255, 255, 255)


def test_the_same_images_in_another_order_are_another_sheet():
    images = [Image.new("RGB", (8, 8), colour) for colour in COLOURS]
    assert sheet_of(images) == sheet_of(images) != sheet_of(images[::-1])
