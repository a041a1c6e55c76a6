"""Turn the pages of a PDF into rows: render them, read their text with Tesseract, and filter them."""

from __future__ import annotations

import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ndino.data.framework.shards import Reject, ShardWriter
from ndino.data.io.ocr import OcrError, OcrResult, Tesseract
from ndino.data.io.pdf import Page, Rendering, render_pages
from ndino.formats.prompts import IMAGE_TOKEN
from ndino.languages.identify import most_probable


@dataclass(frozen=True)
class TextFilters:
    """Minimum values for the text of a page. All are ours; docs/data/eurlex.md says what they reject.

    Args:
        letters: number of letters.
        confidence: Tesseract's, 0 to 100.
        language: probability of the wanted language, which must also be the most probable one.
    """

    letters: int = 50
    confidence: float = 80.0
    language: float = 0.5


@dataclass(frozen=True)
class PdfRows:
    """The rows of a PDF; ``count`` is its number of pages, ``looked_at`` the number that was processed."""

    rows: tuple[dict[str, Any], ...]
    rejects: tuple[Reject, ...]
    count: int
    looked_at: int


class PageReader:
    """Reads PDFs. Thread-safe; the pages of all PDFs share the threads of ``readers``.

    Args:
        writer: stores the images.
        scratch: existing folder for temporary files.
        lang: code of the language that the pages must be in.
    """

    def __init__(
        self,
        writer: ShardWriter,
        scratch: Path,
        readers: ThreadPoolExecutor,
        tesseract: Tesseract,
        rendering: Rendering,
        filters: TextFilters,
        lang: str,
    ) -> None:
        self._writer, self._scratch, self._readers = writer, scratch, readers
        self._tesseract, self._filters, self._lang = tesseract, filters, lang
        self.rendering = rendering

    def read(self, pdf: Path, name: str, source: str, most: int) -> PdfRows:
        """The rows (``id`` is source/name/page) and rejects of the first ``most`` pages.

        Raises:
            PdfError: no page of the document can be rendered.
        """
        with tempfile.TemporaryDirectory(dir=self._scratch) as temporary:
            folder = Path(temporary)
            rendered = render_pages(pdf, folder, replace(self.rendering, max_pages=most))
            readings = [
                None if page.reason else self._readers.submit(self._tesseract.read, folder / page.file)
                for page in rendered.pages
            ]
            results = [
                self._result(page, reading, folder, f"{source}/{name}/{page.number}", source)
                for page, reading in zip(rendered.pages, readings, strict=True)
            ]
        return PdfRows(
            rows=tuple(result for result in results if isinstance(result, dict)),
            rejects=tuple(result for result in results if isinstance(result, Reject)),
            count=rendered.count,
            looked_at=len(results),
        )

    def _result(
        self, page: Page, reading: Future[OcrResult] | None, folder: Path, identity: str, source: str
    ) -> dict[str, Any] | Reject:
        if reading is None:
            return Reject(identity, page.reason)
        try:
            read = reading.result()
        except OcrError as error:
            return Reject(identity, str(error))
        if fault := self.fault_of(read):
            detail = {"confidence": round(read.confidence, 1), "text": read.text[:200]}
            return Reject(identity, fault, detail)
        image = folder / page.file
        return {
            "id": identity,
            "source": source,
            "image": self._writer.save_image(image.read_bytes(), image.suffix),
            "conversations": [{"from": "human", "value": IMAGE_TOKEN}, {"from": "gpt", "value": read.text}],
        }

    def fault_of(self, reading: OcrResult) -> str | None:
        """Why the text of a page is rejected, or None."""
        if sum(map(str.isalpha, reading.text)) < self._filters.letters:
            return "too little text"
        if reading.confidence < self._filters.confidence:
            return "too little confidence"
        language, probability = most_probable(reading.text)
        if language != self._lang or probability < self._filters.language:
            return f"not in the language {self._lang}"
        return None
