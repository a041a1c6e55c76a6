"""Pages per second of OCR on a PDF, against pytesseract with pdf2image, on the Debian reference in Italian.

    python -m benchmarks.ocr              twelve pages, four of them the other way: about two minutes
    python -m benchmarks.ocr --pages 6 --slow-pages 1 --dpi 150

The other way follows the documentation of pdf2image and pytesseract: ``convert_from_path`` at 300 dpi, then
``image_to_string`` page by page, with Tesseract's default threads. Ours is what ``ndino data eurlex`` does
(`ndino.data.io.pages`), with documents of four pages, including filters and storing images: one page per core
at 200 dpi. Both run in this process on all available cores. Time is wall-clock time, because threads are the
point; the other way reads fewer pages because it is slow. Both are compared with the PDF's own text layer by
character error rate after `plain`. Needs poppler-utils (pdftoppm).

Goal: 5 times the other way's pages per second, with a character error rate at most 0.1 points higher. The
last line is JSON: ``name``, ``ratio`` (pages per second, ours over theirs), ``goal``, ``equal`` (error rates)
and ``conditions``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
import unicodedata
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pypdfium2
import pytesseract
from pdf2image import convert_from_path
from rapidfuzz.distance import Levenshtein

from benchmarks.bench.result import print_result
from miniature.debian_files import DebianError, reference_pdf
from ndino.data.framework.shards import Shard, ShardWriter
from ndino.data.io.ocr import open_tesseract
from ndino.data.io.pages import PageReader, TextFilters
from ndino.data.io.pdf import Rendering
from ndino.data.sources.eurlex import WAITING

GOAL = 5.0
CER_GOAL = 0.1  # percentage points
LANGUAGE, CODE = "ita", "it"
# Pages (from 1) of running text; tables and listings have no unique reading order to compare.
PAGES = (43, 127, 218, 78, 29, 99, 141, 211, 148, 36, 183, 162)
SLOW_PAGES = 4
PAGES_PER_DOCUMENT = 4  # when read our way
# Characters that look the same in print but differ in the text layer.
TYPOGRAPHY = str.maketrans(
    {"’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": "-", "•": "*", "\x02": "-"}
)


def plain(text: str) -> str:
    """Normalise a text for comparison: composed characters, ASCII punctuation, single spaces."""
    return " ".join(unicodedata.normalize("NFC", text).translate(TYPOGRAPHY).split())


def character_errors(text: str, reference: str) -> tuple[int, int]:
    """Edit distance from ``reference`` to ``text``, and the reference's length, both after `plain`."""
    text, reference = plain(text), plain(reference)
    return Levenshtein.distance(reference, text), len(reference)


def error_rate(texts: Sequence[str], references: Sequence[str]) -> float:
    """Character error rate over all pages, in percent."""
    errors, lengths = zip(*map(character_errors, texts, references), strict=True)
    return 100 * sum(errors) / sum(lengths)


def text_layer(pdf: Path, numbers: Sequence[int]) -> list[str]:
    """The text layer of these pages (from 1)."""
    document = pypdfium2.PdfDocument(pdf)
    return [document[number - 1].get_textpage().get_text_bounded() for number in numbers]


def extract(pdf: Path, numbers: Sequence[int], made: Path) -> Path:
    """Write a PDF of only these pages, in this order."""
    document = pypdfium2.PdfDocument.new()
    document.import_pages(pypdfium2.PdfDocument(pdf), pages=[number - 1 for number in numbers])
    document.save(made)
    return made


@dataclass(frozen=True)
class OcrRun:
    """The texts, wall-clock seconds, and CPU seconds of this process and its children."""

    texts: list[str]
    seconds: float
    cpu_seconds: float


def measure(read: Callable[[], list[str]]) -> OcrRun:
    started, cpu = time.perf_counter(), sum(os.times()[:4])
    texts = read()
    return OcrRun(texts, time.perf_counter() - started, sum(os.times()[:4]) - cpu)


def read_ours(documents: Sequence[Path], rendering: Rendering, folder: Path, cores: int) -> list[str]:
    """Texts of all pages that are kept, in the order of the documents."""
    scratch = folder / "scratch"
    scratch.mkdir(parents=True)
    with (
        ShardWriter(folder, Shard(0, 1), {}) as writer,
        ThreadPoolExecutor(cores) as readers,
        ThreadPoolExecutor(cores + WAITING) as threads,
    ):
        reader = PageReader(
            writer, scratch, readers, open_tesseract(LANGUAGE), rendering, TextFilters(), CODE
        )
        results = list(
            threads.map(
                lambda path: reader.read(path, path.stem, "benchmark", rendering.max_pages), documents
            )
        )
    for reject in [reject for found in results for reject in found.rejects]:
        print(f"rejected: {reject.where}: {reject.reason}", file=sys.stderr)
    return [row["conversations"][1]["value"] for found in results for row in found.rows]


def read_theirs(pdf: Path) -> list[str]:
    images = convert_from_path(pdf, dpi=300)
    return [pytesseract.image_to_string(image, lang=LANGUAGE) for image in images]


def main() -> int:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pages", type=int, default=len(PAGES), help=f"read our way (default: {len(PAGES)})")
    parser.add_argument(
        "--slow-pages", type=int, default=SLOW_PAGES, help=f"read the other way (default: {SLOW_PAGES})"
    )
    parser.add_argument("--dpi", type=int, default=Rendering.dpi, help=f"of ours (default: {Rendering.dpi})")
    options = parser.parse_args()
    if shutil.which("pdftoppm") is None:
        print(
            "benchmarks.ocr: no pdftoppm for pdf2image to run (remedy: apt-get install poppler-utils)",
            file=sys.stderr,
        )
        return 1
    try:
        reference = reference_pdf("it", lambda line: print(line, file=sys.stderr))
    except DebianError as error:
        print(f"benchmarks.ocr: {error}", file=sys.stderr)
        return 1
    numbers = PAGES[: options.pages]
    few = min(options.slow_pages, len(numbers))
    layer = text_layer(reference, numbers)
    # Ours sets this variable for the whole process, so the other way must run first.
    threads = os.environ.get("OMP_THREAD_LIMIT")
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="ndino-ocr-") as temporary:
        folder = Path(temporary)
        documents = [
            extract(reference, numbers[first : first + PAGES_PER_DOCUMENT], folder / f"{first}.pdf")
            for first in range(0, len(numbers), PAGES_PER_DOCUMENT)
        ]
        one = extract(reference, numbers[:few], folder / "one.pdf")
        rendering = Rendering(dpi=options.dpi, max_pages=PAGES_PER_DOCUMENT)
        theirs = measure(lambda: read_theirs(one))
        ours = measure(lambda: read_ours(documents, rendering, folder / "ours", cores))
    runs = {"ours": (ours, len(numbers)), "theirs": (theirs, few)}
    speed = {way: pages / run.seconds for way, (run, pages) in runs.items()}
    whole = len(ours.texts) == len(numbers)
    rates = {
        "ours": error_rate(ours.texts[:few], layer[:few]) if whole else None,
        "theirs": error_rate(theirs.texts, layer[:few]),
    }
    equal = whole and rates["ours"] - rates["theirs"] <= CER_GOAL
    print_result(
        "ocr",
        ratio=round(speed["ours"] / speed["theirs"], 2),
        goal=GOAL,
        equal=equal,
        conditions={
            "measure": "pages a second, wall-clock; equal: character error rates within 0.1 points",
            "pages_a_second": {way: round(value, 3) for way, value in speed.items()},
            "cpu_seconds_a_page": {
                way: round(run.cpu_seconds / pages, 2) for way, (run, pages) in runs.items()
            },
            "cer_percent": {way: value and round(value, 3) for way, value in rates.items()},
            "cer_percent_all_pages": round(error_rate(ours.texts, layer), 3) if whole else None,
            "pages": {"ours": len(numbers), "theirs": few},
            "dpi": {"ours": options.dpi, "theirs": 300},
            "omp_thread_limit": {"ours": "1", "theirs": threads},
            "tesseract": str(pytesseract.get_tesseract_version()),
        },
        packages=("pypdfium2", "pytesseract", "pdf2image"),
    )
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
