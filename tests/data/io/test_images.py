"""Which images can be used, and in which format they are stored."""

from __future__ import annotations

import contextlib
import io
import random
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ndino.common.images import FORMATS, MAX_IMAGE_PIXELS, UnreadableImageError, read_image
from ndino.data.io.images import UnusableImageError, usable_image
from tests.odd_images import kinds
from tests.properties import examples


def reason_of(content: bytes) -> str:
    """Why no command can use an image, as the sources say it."""
    with pytest.raises(UnreadableImageError) as refused:
        read_image(content)
    return refused.value.kind


def drawn(kind: str, mode: str = "RGB", size: tuple[int, int] = (40, 30), **options) -> bytes:
    file = io.BytesIO()
    noise = random.Random(0).randbytes(size[0] * size[1])
    Image.frombytes("L", size, noise).convert(mode).save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("kind", "mode", "suffix"),
    [("JPEG", "RGB", ".jpg"), ("JPEG", "CMYK", ".jpg"), ("PNG", "RGBA", ".png"), ("WEBP", "RGB", ".webp")],
)
def test_formats_that_the_trainer_reads_are_kept_unchanged(kind, mode, suffix):
    content = drawn(kind, mode)
    assert usable_image(content) == (content, suffix)


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("GIF", "P"), ("GIF", "L"), ("BMP", "RGB"), ("TIFF", "CMYK"), ("TIFF", "F"), ("TIFF", "LA")],
)
def test_other_formats_become_png(kind, mode):
    content = drawn(kind, mode)
    made, suffix = usable_image(content)
    with Image.open(io.BytesIO(made)) as image, Image.open(io.BytesIO(content)) as original:
        assert (image.format, suffix, image.size) == ("PNG", ".png", (40, 30))
        assert image.convert("RGB").tobytes() == original.convert("RGB").tobytes()


@pytest.mark.parametrize("name", kinds())
def test_every_kind_of_image_is_stored_as_what_every_command_sees(name):
    kind = kinds()[name]
    if kind.pixels is None:
        with pytest.raises(UnusableImageError) as refused:
            usable_image(kind.content, min_side=1, max_pixels=MAX_IMAGE_PIXELS)
        assert refused.value.reason == reason_of(kind.content)
        return
    stored, suffix = usable_image(kind.content, min_side=1)
    assert suffix in (".jpg", ".png", ".webp")
    assert np.array_equal(np.asarray(read_image(stored)), np.asarray(read_image(kind.content)))


def test_the_sources_take_the_formats_that_the_docs_promise():
    page = (Path(__file__).parents[3] / "docs" / "images.md").read_text()
    row = next(line for line in page.splitlines() if line.startswith("| RGB, grey, one bit"))
    said = row.split("; ", 1)[1].partition(" |")[0].upper().replace("JPEG 2000", "JPEG2000").split(", ")
    assert {*said} == {*FORMATS}
    Image.init()
    assert {*FORMATS} <= {*Image.OPEN}


def test_pillow_s_warnings_are_not_shown(recwarn):
    for name in ("bomb.png", "exif_broken.jpg", "half.tif"):
        with contextlib.suppress(UnusableImageError, UnreadableImageError):
            usable_image(kinds()[name].content)
            read_image(kinds()[name].content)
    with pytest.raises(UnreadableImageError, match="more than 933,120,000 pixels"):
        read_image(kinds()["bomb.png"].content)
    assert not recwarn.list


def test_a_profile_of_inks_is_applied_and_does_not_stay_with_the_colours_that_it_gave():
    press = kinds()["cmyk_profile.tif"]
    with Image.open(io.BytesIO(usable_image(press.content)[0])) as image:
        assert image.mode == "RGB" and "icc_profile" not in image.info
        assert np.abs(np.asarray(image, dtype=int) - press.pixels).max() <= 1


def test_the_first_frame_of_an_animation_is_kept():
    frames = [Image.new("P", (20, 20), colour) for colour in (1, 2)]
    for frame in frames:
        frame.putpalette([0, 0, 0, 255, 0, 0, 0, 0, 255])
    frames[0].putpixel((0, 0), 0)
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], transparency=0)
    with Image.open(io.BytesIO(usable_image(file.getvalue())[0])) as image:
        shown = image.convert("RGBA")
        assert getattr(image, "n_frames", 1) == 1
    assert shown.getpixel((5, 5)) == (255, 0, 0, 255)
    assert shown.getpixel((0, 0))[3] == 0


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b"version https://git-lfs.github.com/spec/v1\n", "it is a Git LFS pointer"),
        (
            b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>',
            "it is SVG, a drawing without pixels",
        ),
        (b"\xef\xbb\xbf\n<!-- drawn --><svg/>", "it is SVG, a drawing without pixels"),
        (b"<!DOCTYPE html><html><body>Not found", "it is HTML, not an image"),
        (b"%PDF-1.4", "it is no image"),
        (drawn("ICO"), "it is in a format that is not taken"),
        (drawn("JPEG")[:-200], "image file is truncated"),
        (drawn("PNG")[:-200], "image file is truncated"),
        (drawn("WEBP")[:-200], "could not create decoder object"),
        (drawn("GIF")[:-200], "image file is truncated"),
        (drawn("PNG", size=(15, 400)), "it has fewer than 16 pixels a side"),
        (drawn("PNG", "1", size=(7100, 7100)), "it has more than 50,000,000 pixels"),
    ],
)
def test_unusable_images_have_a_reason(content, reason):
    with pytest.raises(UnusableImageError) as refused:
        usable_image(content)
    assert refused.value.reason == str(refused.value) == reason


def test_the_limits_are_arguments_and_bombs_are_not_decoded():
    assert usable_image(drawn("PNG", size=(15, 400)), min_side=15)
    with pytest.raises(UnusableImageError, match="it has more than 1,199 pixels"):
        usable_image(drawn("PNG"), max_pixels=1199)
    bomb = bytearray(drawn("PNG"))
    bomb[16:24] = (60_000).to_bytes(4, "big") * 2  # says 3.6 gigapixels
    bomb[29:33] = zlib.crc32(bomb[12:29]).to_bytes(4, "big")
    with pytest.raises(UnusableImageError, match="it has more than 50,000,000 pixels"):
        usable_image(bytes(bomb))


@examples(60)
@given(st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "TIFF"]), st.data())
def test_damaged_files_are_refused_or_open(kind, data):
    content = bytearray(drawn(kind))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        kept, _ = usable_image(bytes(content))
    except UnusableImageError as error:
        limits = ("it has more than", "it has fewer than", "it is in a format that is not taken")
        assert error.reason.startswith(limits) or error.reason == reason_of(bytes(content))
    else:
        Image.open(io.BytesIO(kept)).load()


def test_a_jpeg_with_several_images_is_kept():
    file = io.BytesIO()
    Image.new("RGB", (40, 30)).save(file, "MPO", save_all=True, append_images=[Image.new("RGB", (40, 30))])
    assert usable_image(file.getvalue()) == (file.getvalue(), ".jpg")
