"""Rendering the pages of PDFs, sound and broken."""

from __future__ import annotations

import random
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from reportlab.lib.pagesizes import A6

from ndino.data.errors import DataError
from ndino.data.io.pdf import PdfError, Rendering, render_pages, scale_of
from tests.data.io.made_pdfs import (
    ITALIAN,
    annotated,
    blank,
    encrypted,
    form,
    heavy,
    lines,
    noise,
    pdf,
    revised,
    rotated,
    without_appearances,
    without_pages,
)

PAGE = pdf(lines(*ITALIAN))
POINTS = st.floats(0.01, 14_400)


@pytest.fixture
def render(tmp_path):
    def render(content: bytes, **options):
        (tmp_path / "a.pdf").write_bytes(content)
        return render_pages(tmp_path / "a.pdf", tmp_path, Rendering(**options))

    return render


@pytest.fixture
def opened(tmp_path):
    return lambda page: Image.open(tmp_path / page.file)


def test_a_page_is_a_grey_image_of_the_wanted_resolution(render, opened):
    found = render(PAGE)
    assert [(found.count, page.number, page.reason) for page in found.pages] == [(1, 1, "")]
    image = opened(found.pages[0])
    assert (image.format, image.mode, image.size) == ("PNG", "L", (827, 1166))  # A6 at 200 dpi
    assert image.info["dpi"] == pytest.approx((200, 200), abs=0.1)
    assert image.getextrema()[0] < 50 and image.histogram()[255] > 0.9 * 827 * 1166


def test_the_first_pages_only(render):
    found = render(pdf(*(lines(f"Pagina {number}") for number in range(1, 41))), max_pages=3)
    assert found.count == 40 and [page.number for page in found.pages] == [1, 2, 3]


def test_a_rotated_page_stands_upright(render, opened):
    assert opened(render(rotated(PAGE, 90)).pages[0]).size == (1166, 827)


@pytest.mark.parametrize("size", [(14_400, 14_400), (14_400, 200), (200, 14_400)])
def test_a_huge_page_is_made_smaller(render, opened, size):
    (page,) = render(pdf(lines(*ITALIAN, size=100), size=size)).pages
    image = opened(page)
    assert image.width * image.height < 10_010_000 and max(image.size) <= 20_000
    assert image.width / image.height == pytest.approx(size[0] / size[1], rel=0.01)


@given(POINTS, POINTS, st.integers(10_000, 50_000_000))
def test_images_stay_within_their_limits(width, height, max_pixels):
    scale = scale_of(width, height, Rendering(max_pixels=max_pixels))
    assert scale <= 200 / 72
    assert width * scale * height * scale <= max_pixels * 1.001
    assert max(width, height) * scale <= 20_001


def test_a_page_of_one_pixel_line_is_refused(render):
    assert [page.reason for page in render(pdf(blank, size=(14_400, 5))).pages] == ["page too small"]


def test_a_blank_page_is_refused_and_the_next_is_not(render):
    assert [page.reason for page in render(pdf(blank, lines("Fine."))).pages] == ["blank page", ""]


def test_colour_is_kept_if_there_is_any(render, opened):
    assert opened(render(pdf(lines(*ITALIAN, colour="red"))).pages[0]).mode == "RGB"


def test_a_page_that_compresses_badly_is_a_jpeg(render, opened):
    assert opened(render(pdf(noise)).pages[0]).format == "JPEG"


@pytest.mark.parametrize("fields", ["drawn by the program", "drawn by the reader"])
def test_what_a_form_is_filled_with_is_on_the_page(render, opened, fields):
    content = pdf(form(*ITALIAN))
    image = opened(
        render(content if fields == "drawn by the program" else without_appearances(content)).pages[0]
    )
    assert image.mode == "L"  # no colour marks the fields
    top, right = image.height / A6[1], image.width / A6[0]
    for number in range(len(ITALIAN)):
        line = (30 * right, (A6[1] - 364 + 30 * number) * top, 270 * right, (A6[1] - 340 + 30 * number) * top)
        assert image.crop(tuple(map(round, line))).getextrema()[0] < 60


def test_a_remark_is_on_the_page(render):
    assert [page.reason for page in render(pdf(blank)).pages] == ["blank page"]
    assert [page.reason for page in render(annotated(pdf(blank), "Una nota")).pages] == [""]


REVISED = revised(PAGE)
AS_SERVED = {
    "NULs behind": PAGE + bytes(4096),
    "line breaks behind": PAGE + b"\r\n" * 3000,
    "HTML behind": PAGE + b"\n<!-- served by cache -->\n" * 100,
    "header before": b"\r\nContent-Type: application/pdf\r\n\r\n" + PAGE,
    "byte order mark before": b"\xef\xbb\xbf" + PAGE,
    "no end mark": PAGE[: PAGE.rindex(b"%%EOF")],
    "cut end mark": PAGE[: PAGE.rindex(b"%%EOF") + 3],
    "revised": REVISED,
    "revised, NULs behind": REVISED + bytes(4096),
}


@pytest.mark.parametrize("kind", AS_SERVED)
def test_what_readers_ignore_around_a_document_does_no_harm(render, opened, kind):
    assert opened(render(AS_SERVED[kind]).pages[0]).tobytes() == opened(render(PAGE).pages[0]).tobytes()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (b"<!DOCTYPE html><html><body>%%EOF", "not a PDF"),
        (PAGE[: len(PAGE) // 2], "truncated"),
        (PAGE[: PAGE.rindex(b"startxref")], "truncated"),
        (REVISED[: len(PAGE) + 100], "truncated"),
        (PAGE[: len(PAGE) // 2] + bytes(4096), "truncated"),
        (bytes(4096), "not a PDF"),
        (PAGE[: len(PAGE) // 2] + b"\n%%EOF\n", "broken PDF"),
        (b"%PDF-1.7\n%%EOF", "broken PDF"),
        (encrypted(PAGE, "segreto"), "encrypted"),
        (without_pages(), "broken PDF"),
    ],
    ids=[
        "empty",
        "html",
        "truncated",
        "no-end",
        "revision",
        "padded",
        "zeros",
        "half",
        "nothing",
        "encrypted",
        "no-pages",
    ],
)
def test_unreadable_pdfs_have_a_reason(render, content, reason):
    with pytest.raises(PdfError) as error:
        render(content)
    assert str(error.value) == reason


def test_a_password_against_changes_does_not_prevent_reading(render):
    assert render(encrypted(PAGE, "")).pages[0].file


def test_damaged_files_give_pages_or_a_reason(render):
    """Bytes changed here and there: never an exception of another kind, and never a hanging process."""
    rng = random.Random(0)
    for _ in range(8):
        damaged = bytearray(PAGE)
        for _ in range(30):
            damaged[rng.randrange(8, len(PAGE) - 10)] = rng.randrange(256)
        try:
            render(bytes(damaged))
        except PdfError as error:
            assert str(error)


def test_a_slow_page_is_abandoned(render):
    try:
        reason = render(pdf(heavy(8_000)), max_pages=1, seconds_a_page=1).pages[0].reason
    except PdfError as error:  # on a busy machine it does not even get to count the pages
        reason = str(error)
    assert reason == "rendering took too long"


@pytest.fixture
def reader(tmp_path, monkeypatch):
    """Puts a shell script in the place of the process that renders."""

    def reader(script: str) -> None:
        (tmp_path / "python").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "python").chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))

    return reader


SAID = """printf '{"count": 9}\\n{"number": 1, "file": "1.png", "reason": ""}\\n{"number": 2, '"""


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        ("kill -SEGV $$", "the PDF reader crashed"),
        ("exit 4", "the PDF reader crashed"),
        ("exec sleep 60", "rendering took too long"),
    ],
)
def test_a_crash_of_the_reader_costs_only_the_following_pages(render, reader, end, reason):
    reader(f"{SAID}\n{end}")
    assert [page.reason for page in render(PAGE, max_pages=3, seconds_a_page=1).pages] == ["", reason, reason]


def test_a_crash_before_the_first_page(render, reader):
    reader("kill -SEGV $$")
    with pytest.raises(PdfError, match="the PDF reader crashed"):
        render(PAGE)


@pytest.mark.parametrize("end", [f"{SAID}\nkill -INT $$", f"{SAID}\nkill -TERM $$", "exit 1"])
def test_a_stopped_reader_is_not_blamed_on_the_document(render, reader, end):
    """Python ends with 1 where Ctrl-C finds it starting."""
    reader(end)
    with pytest.raises(DataError, match="stopped"):
        render(PAGE)


def test_an_unwritable_folder_is_not_blamed_on_the_document(tmp_path):
    (tmp_path / "a.pdf").write_bytes(PAGE)
    with pytest.raises(DataError, match="free disk space"):
        render_pages(tmp_path / "a.pdf", tmp_path / "gone", Rendering())
