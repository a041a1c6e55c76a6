"""The text of pages with Tesseract, and its clean-up."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.ocr import error_rate, extract, text_layer
from miniature.debian_files import DebianError, reference_pdf
from ndino.data.errors import DataError
from ndino.data.io.ocr import OcrError, clean, confidence_of, open_tesseract
from ndino.data.io.pdf import Rendering, render_pages
from tests.data.io.made_pdfs import ITALIAN, lines, pdf, rotated, sideways

ROOT = Path(__file__).parents[3]


@given(st.text(max_size=200))
def test_cleaning_leaves_only_visible_characters(text):
    cleaned = clean(text)
    assert clean(cleaned) == cleaned == cleaned.strip()
    assert all(any(map(str.isalnum, line)) for line in cleaned.split("\n") if line)
    assert "\n\n\n" not in cleaned and "  " not in cleaned
    assert not {unicodedata.category(char) for char in cleaned.replace("\n", "")} & {"Cc", "Cf", "Cs"}


@given(st.text(max_size=100))
def test_cleaning_removes_no_letter(text):
    text = unicodedata.normalize("NFC", text)
    assert [char for char in clean(text) if char.isalnum()] == [char for char in text if char.isalnum()]


def test_cleaning_keeps_lines_hyphens_and_paragraphs():
    read = "Titolo I\n\n \n— | —\n\nla Commis-\nsione  è\u00ad \t qui;\n\x0c"
    assert clean(read) == "Titolo I\n\nla Commis-\nsione è qui;"
    assert clean("perche\u0301") == "perché"


def test_confidence_is_weighted_by_word_length():
    rows = [("4", "-1", ""), ("5", "90.5", "articolo"), ("5", "10", '"'), ("5", "50", " "), ("4", "-1", "")]
    table = "level\tconf\ttext\n" + "".join("\t".join(row) + "\n" for row in rows)
    assert confidence_of(table) == pytest.approx((90.5 * 8 + 10) / 9)
    assert confidence_of("level\tconf\ttext\n") == 0


@pytest.mark.system
@pytest.mark.skipif(shutil.which("tesseract") is None, reason="tesseract is not installed")
class TestTesseract:
    @pytest.fixture(scope="class")
    def tesseract(self):
        try:
            return open_tesseract("ita")
        except DataError as error:
            pytest.skip(str(error))

    def read(self, tesseract, folder: Path, content: bytes):
        (folder / "a.pdf").write_bytes(content)
        (page,) = render_pages(folder / "a.pdf", folder, Rendering()).pages
        return tesseract.read(folder / page.file)

    def test_identity_names_program_and_data(self, tesseract):
        name, version, language, data = tesseract.identity.replace(",", "").split()
        assert (name, language) == ("tesseract", "ita")
        assert version[0].isdigit() and len(data) == 16

    def test_a_generated_page_is_read_without_errors(self, tesseract, tmp_path):
        reading = self.read(tesseract, tmp_path, pdf(lines(*ITALIAN)))
        assert reading.text.replace("\n\n", "\n").split("\n") == list(ITALIAN)
        assert reading.confidence > 90

    def test_a_rotated_page_is_read(self, tesseract, tmp_path):
        upright = rotated(pdf(sideways(*ITALIAN), size=(420, 450)), 90)
        assert self.read(tesseract, tmp_path, upright).text.split() == " ".join(ITALIAN).split()

    def test_a_real_page_against_its_text_layer(self, tesseract, tmp_path):
        """Two pages of Debian's reference: character error rate 0.2 % at 200 dpi, confidence 93 and 95."""
        try:
            reference = reference_pdf("it")
        except (DebianError, OSError) as error:
            pytest.skip(f"debian-reference-it is not to be had: {error}")
        numbers = (29, 43)
        pages = render_pages(extract(reference, numbers, tmp_path / "a.pdf"), tmp_path, Rendering()).pages
        readings = [tesseract.read(tmp_path / page.file) for page in pages]
        assert all(reading.confidence > 90 for reading in readings)
        assert error_rate([reading.text for reading in readings], text_layer(reference, numbers)) < 0.5

    def test_a_slow_page_is_abandoned_and_its_process_killed(self, tmp_path):
        impatient = open_tesseract("ita", seconds_a_page=0.1)
        many = pdf(*[lines(*ITALIAN * 12, size=5)])
        with pytest.raises(OcrError, match="recognition took too long"):
            self.read(impatient, tmp_path, many)
        for process in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):  # it ended meanwhile
                assert str(tmp_path).encode() not in process.read_bytes()

    def test_a_failing_tesseract_is_not_blamed_on_the_page(self, tesseract, tmp_path):
        (tmp_path / "a.png").write_bytes(b"no image")
        with pytest.raises(DataError, match=r"tesseract failed: .*free disk space"):
            tesseract.read(tmp_path / "a.png")

    @pytest.mark.parametrize(("name", "error"), [("TERM", DataError), ("SEGV", OcrError)])
    def test_a_tesseract_that_is_stopped_or_crashes(self, tesseract, tmp_path, monkeypatch, name, error):
        program = tmp_path / "tesseract"
        program.write_text(f"#!/bin/sh\nkill -{name} $$\n")
        program.chmod(0o755)
        monkeypatch.setattr("pytesseract.pytesseract.tesseract_cmd", str(program))
        with pytest.raises(error, match=r"stopped|Tesseract crashed"):
            tesseract.read(tmp_path / "a.png")

    def test_pages_are_read_with_one_thread_each(self, tesseract):
        assert os.environ["OMP_THREAD_LIMIT"] == "1"

    def test_a_language_without_data_names_its_package(self):
        with pytest.raises(DataError, match=r"no data for the language 'chi_xyz' .*tesseract-ocr-chi-xyz\)"):
            open_tesseract("chi_xyz")

    def test_benchmark_runs(self):
        command = [sys.executable, "-m", "benchmarks.ocr", "--pages", "1", "--slow-pages", "1"]
        # What is slow about the other way is its threads, and measuring is not what this test is for.
        quick = os.environ | {"OMP_THREAD_LIMIT": "1"}
        done = subprocess.run(command, cwd=ROOT, env=quick, capture_output=True, text=True, check=False)
        if "remedy" in done.stderr:
            pytest.skip(done.stderr.strip())
        result = json.loads(done.stdout.splitlines()[-1])
        assert (done.returncode, result["name"], result["equal"]) == (0, "ocr", True)
        assert result["conditions"]["cer_percent"]["ours"] < 1
