"""Render the pages of a PDF in a separate process.

Documents from the web may crash the library, hang it or exhaust the memory. In that case only the separate
process dies, and at most the remaining pages of that document are lost.
"""

from __future__ import annotations

import argparse
import json
import mmap
import re
import resource
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ndino.common.parsing import parse_json
from ndino.data.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

# A child process that one of these signals ended was stopped together with this process; the document is not
# at fault.
STOPPED_BY = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STOPPED = "stopped by a signal (remedy: rerun to resume)"
# Exit statuses of the separate process.
NO_ROOM = 3
FAILED = 4
# Python's own. Ctrl-C while Python starts ends in this status, not in the signal.
NOT_BEGUN = 1
POINTS_AN_INCH = 72
MEMORY_BYTES = 4 * 1024**3
# The specification lets readers search for %PDF- in the first 1,024 bytes.
MARK_WITHIN = 1024
# What the last part of a document ends with; some programs leave out the second.
END_MARKS = (b"startxref", b"%%EOF")
OBJECT = re.compile(rb"\d\s+\d+\s+obj\b")
FEWEST_PIXELS_A_SIDE, MOST_PIXELS_A_SIDE = 32, 20_000
# PDFium's error code for a wrong password (FPDF_ERR_PASSWORD).
PASSWORD = 4
# Largest difference between the colour channels of a pixel (of 255) that a reader does not see.
FAINT = 8
JPEG_QUALITY = 90


class PdfError(ValueError):
    """A document of which no page can be rendered; the message is the reason, short and stable."""


@dataclass(frozen=True)
class Rendering:
    """Settings of the rendering. All values are ours; docs/data/eurlex.md has the measurements.

    Args:
        dpi: resolution; lower for a page that would exceed ``max_pixels`` or 20,000 pixels on one side.
        max_pixels: per page.
        max_pages: the first N pages of a document are rendered.
        seconds_a_page: time limit; ``max_pages`` times this for a whole document.
    """

    dpi: int = 200
    max_pixels: int = 10_000_000
    max_pages: int = 5
    seconds_a_page: float = 20.0


@dataclass(frozen=True)
class Page:
    """One page, ``number`` from 1: an image file (PNG or JPEG, greyscale or RGB), or why there is none."""

    number: int
    file: str = ""
    reason: str = ""


@dataclass(frozen=True)
class RenderedPages:
    """The rendered pages, and the number of pages of the document."""

    count: int
    pages: tuple[Page, ...]


def render_pages(pdf: Path, folder: Path, rendering: Rendering) -> RenderedPages:
    """Render the first pages of ``pdf`` into the existing ``folder``.

    Raises:
        PdfError: "empty file", "not a PDF", "truncated", "encrypted", "broken PDF", or the reader crashed or
            took too long before the first page.
        DataError: images cannot be written, or the reader was stopped by a signal.
    """
    check_file(pdf)
    paths = [str(path.absolute()) for path in (pdf, folder)]
    command = [sys.executable, "-m", "ndino.data.io.pdf", *paths, json.dumps(asdict(rendering))]
    limit = rendering.seconds_a_page * rendering.max_pages
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            output, _ = process.communicate(timeout=limit)
            failure = "" if process.returncode == 0 else "the PDF reader crashed"
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
            failure = "rendering took too long"
    if -process.returncode in STOPPED_BY or process.returncode == NOT_BEGUN:
        raise DataError(STOPPED)
    if process.returncode == NO_ROOM:
        raise DataError(f"{folder}: images of pages cannot be written (remedy: check free disk space)")
    said = [parse_json(line) for line in output.splitlines(keepends=True) if line.endswith("\n")]
    if not said:
        raise PdfError(failure or "broken PDF")
    if "reason" in said[0]:
        raise PdfError(said[0]["reason"])
    count = said[0]["count"]
    pages = [Page(**page) for page in said[1:]]
    if failure:
        wanted = min(count, rendering.max_pages)
        pages += [Page(number, reason=failure) for number in range(len(pages) + 1, wanted + 1)]
    return RenderedPages(count, tuple(pages))


def check_file(pdf: Path) -> None:
    """Refuse a file that is not a complete PDF; PDFium would repair a truncated one by dropping pages.

    Raises:
        PdfError: "empty file", "not a PDF" or "truncated".
    """
    if not pdf.stat().st_size:
        raise PdfError("empty file")
    with pdf.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if content.find(b"%PDF-", 0, MARK_WITHIN) < 0:
            raise PdfError("not a PDF")
        # Readers ignore what servers and caches append. Objects behind the last mark are of a later part that
        # was cut off: a revision, or all but the first page of a file that is made for the web.
        end = max(content.rfind(mark) for mark in END_MARKS)
        if end < 0 or OBJECT.search(content, end):
            raise PdfError("truncated")


def scale_of(width: float, height: float, rendering: Rendering) -> float:
    """Pixels per point for a page of ``width`` by ``height`` points, within the limits of ``rendering``.

    PDFium rounds up, so an image may exceed the limits by a fraction of a pixel per side.
    """
    return min(
        rendering.dpi / POINTS_AN_INCH,
        (rendering.max_pixels / (width * height)) ** 0.5,
        MOST_PIXELS_A_SIDE / max(width, height),
    )


def _render(pdf: Path, folder: Path, rendering: Rendering) -> None:
    """Print JSON lines: the number of pages, then the result for each page; or the reason for a failure."""
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(pdf)
        document.init_forms()  # before any page is opened: PDFium then draws what fields are filled with
        count = len(document)
    except pypdfium2.PdfiumError as error:
        _print_json({"reason": "encrypted" if error.err_code == PASSWORD else "broken PDF"})
        return
    _print_json({"count": count} if count else {"reason": "broken PDF"})
    for number in range(1, min(count, rendering.max_pages) + 1):
        try:
            _print_json(asdict(_render_page(document, number, folder, rendering)))
        except pypdfium2.PdfiumError:
            _print_json(asdict(Page(number, reason="broken page")))


def _render_page(document: Any, number: int, folder: Path, rendering: Rendering) -> Page:
    from pypdfium2.raw import FPDFBitmap_BGRA

    page = document[number - 1]
    width, height = page.get_size()
    if width <= 0 or height <= 0:
        return Page(number, reason="page too small")
    scale = scale_of(width, height, rendering)
    if min(width, height) * scale < FEWEST_PIXELS_A_SIDE:
        return Page(number, reason="page too small")
    # Without an alpha channel, PDFium draws the text of fields with coloured edges, as for a screen.
    plain = {"force_bitmap_format": FPDFBitmap_BGRA} if document.formenv else {}
    image = _grey_if_colourless(page.render(scale=scale, **plain).to_pil())
    if _is_blank(image):
        return Page(number, reason="blank page")
    dpi = scale * POINTS_AN_INCH
    file = folder / f"{number}.png"
    image.save(file, "PNG", dpi=(dpi, dpi))
    # PNG is lossless and smaller for printed text; JPEG is far smaller for photographs and noisy scans.
    jpeg = folder / f"{number}.jpg"
    image.save(jpeg, "JPEG", quality=JPEG_QUALITY, dpi=(dpi, dpi))
    if 2 * jpeg.stat().st_size < file.stat().st_size:
        file, jpeg = jpeg, file
    jpeg.unlink()
    return Page(number, file=file.name)


def _grey_if_colourless(image: Image.Image) -> Image.Image:
    from PIL import ImageChops

    image = image.convert("RGB")
    red, green, blue = image.split()
    if all(_extrema(ImageChops.difference(green, other))[1] <= FAINT for other in (red, blue)):
        return image.convert("L")
    return image


def _is_blank(image: Image.Image) -> bool:
    darkest, brightest = _extrema(image.convert("L"))
    return brightest - darkest <= FAINT


def _extrema(grey: Image.Image) -> tuple[float, float]:
    return cast("tuple[float, float]", grey.getextrema())  # a pair of pairs only for several channels


def _print_json(what: dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m ndino.data.io.pdf", description=render_pages.__doc__)
    parser.add_argument("pdf", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("rendering", type=parse_json, help="JSON object with the fields of Rendering")
    options = parser.parse_args(arguments)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    try:
        _render(options.pdf, options.folder, Rendering(**options.rendering))
    except OSError:
        return NO_ROOM
    except Exception:  # such as MemoryError: the document is at fault
        return FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
