"""The filters on the text of a page, and pages that cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ndino.data.framework.shards import Shard, ShardWriter
from ndino.data.io.ocr import OcrError, OcrResult, Tesseract
from ndino.data.io.pages import PageReader, TextFilters
from ndino.data.io.pdf import PdfError, Rendering
from tests.data.io.made_pdfs import blank, lines, pdf

ITALIAN = "Il presente regolamento entra in vigore il giorno della pubblicazione nella Gazzetta. " * 2
ENGLISH = "This regulation shall enter into force on the day of its publication in the Journal. " * 2


class KnownText(Tesseract):
    """Takes the text from the name of the page's file, so that the program is not needed."""

    def read(self, image: Path) -> OcrResult:
        if image.stem == "3":
            raise OcrError("recognition took too long")
        return OcrResult(ITALIAN if image.stem == "1" else "troppo poco", 95.0)


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[PageReader]:
    settings = {"source": "eurlex"}
    with ShardWriter(tmp_path / "out", Shard(0, 1), settings) as writer, ThreadPoolExecutor(2) as readers:
        tesseract = KnownText("ita", "known")
        yield PageReader(writer, tmp_path, readers, tesseract, Rendering(dpi=72), TextFilters(), "it")


@pytest.mark.parametrize(
    ("text", "confidence", "fault"),
    [
        (ITALIAN, 95.0, None),
        (ITALIAN, 79.9, "too little confidence"),
        ("Articolo 1. " * 3 + "1 2 3 " * 40, 95.0, "too little text"),
        (ENGLISH, 95.0, "not in the language it"),
    ],
)
def test_a_page_is_kept_if_it_has_enough_sure_text_in_the_language(
    reader: PageReader, text: str, confidence: float, fault: str | None
) -> None:
    assert reader.fault_of(OcrResult(text, confidence)) == fault


def test_each_page_becomes_a_row_or_a_reject(reader: PageReader, tmp_path: Path) -> None:
    file = tmp_path / "law.pdf"
    file.write_bytes(pdf(lines("uno"), lines("due"), lines("tre"), blank, lines("cinque")))
    found = reader.read(file, "31958R0001", "eurlex", 4)
    (row,) = found.rows
    assert (row["id"], row["source"]) == ("eurlex/31958R0001/1", "eurlex")
    assert row["conversations"][1]["value"] == ITALIAN
    assert (tmp_path / "out" / "images" / row["image"]).is_file()
    assert [(reject.where, reject.reason) for reject in found.rejects] == [
        ("eurlex/31958R0001/2", "too little text"),
        ("eurlex/31958R0001/3", "recognition took too long"),
        ("eurlex/31958R0001/4", "blank page"),
    ]
    assert (found.count, found.looked_at) == (5, 4)


def test_a_file_that_is_no_pdf_is_an_error(reader: PageReader, tmp_path: Path) -> None:
    file = tmp_path / "page.pdf"
    file.write_bytes(b"<html>")
    with pytest.raises(PdfError, match="not a PDF"):
        reader.read(file, "x", "eurlex", 1)
