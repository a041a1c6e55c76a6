"""The kind of a file by its first bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ndino.data.io.file_kinds import SNIFF_BYTES, kind_of
from tests.odd_images import kinds

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize(
    ("first", "kind"),
    [
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (PNG, "image/png"),
        (b"GIF89a..", "image/gif"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        (kinds()["rgb.avif"].content, "image/avif"),
        (kinds()["rgb.jp2"].content, "image/jp2"),
        (kinds()["rgb.ppm"].content, "image/x-portable-anymap"),
        (kinds()["rgb.bmp"].content, "image/bmp"),
        (kinds()["float_any.tif"].content, "image/tiff"),
        (b"P2 is a text", None),
        (b"%PDF-1.4", "application/pdf"),
        (b"\r\n%PDF-1.4", "application/pdf"),
        (b'<?xml version="1.0"?>\n<svg xmlns="...">', "image/svg+xml"),
        (b"<HTML>", "text/html"),
        (b"  <!DOCTYPE HTML PUBLIC>", "text/html"),
        (b"hello", None),
        (b"", None),
    ],
)
def test_kinds_by_their_first_bytes(first: bytes, kind: str | None) -> None:
    assert kind_of(first) == kind


@given(st.binary(max_size=600))
def test_any_bytes_have_a_kind_or_none(first: bytes) -> None:
    kind_of(first)


def test_only_the_first_bytes_are_searched() -> None:
    page = b"<html>".rjust(SNIFF_BYTES)
    assert kind_of(page) == "text/html"
    assert kind_of(bytes(8) + page) is None
