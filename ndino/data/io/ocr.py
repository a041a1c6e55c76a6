"""The text of a page by Tesseract, and how sure it is of it."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import unicodedata
from dataclasses import dataclass
from pathlib import Path

import pytesseract

from ndino.common.errors import reason_of
from ndino.common.files import sha256_of
from ndino.data.errors import DataError
from ndino.data.io.pdf import STOPPED, STOPPED_BY

# Characters that say nothing on a page: controls, and marks of direction or joining from wrong guesses.
INVISIBLE = ("Cc", "Cf", "Co", "Cn", "Cs")


class OcrError(ValueError):
    """A page that Tesseract gave no answer for; the message is the reason, short and stable."""


@dataclass(frozen=True)
class OcrResult:
    """What was read on a page.

    Attributes:
        text: cleaned; lines as on the page, in Tesseract's reading order, paragraphs apart by an empty line.
        confidence: Tesseract's, 0 to 100, as `confidence_of` says.
    """

    text: str
    confidence: float


@dataclass(frozen=True)
class Tesseract:
    """The program with its data of one language; see `open_tesseract`.

    Attributes:
        language: as Tesseract names it: "ita".
        identity: versions of the program and of the language's data, all that a text depends on.
    """

    language: str
    identity: str
    seconds_a_page: float = 120.0

    def read(self, image: Path) -> OcrResult:
        """Read one page; by any number of threads at once.

        Args:
            image: file that Tesseract reads as it is; its resolution is taken from it.

        Raises:
            OcrError: "recognition took too long" (the process is killed) or "Tesseract crashed".
            DataError: Tesseract cannot work at all, or was stopped from outside; no page is to blame.
        """
        try:
            text, table = pytesseract.run_and_get_multiple_output(
                str(image), extensions=["txt", "tsv"], lang=self.language, timeout=self.seconds_a_page
            )
        except pytesseract.TesseractError as error:
            if error.status >= 0:
                said = f"tesseract failed: {reason_of(error)} (is there room on the disk?)"
                raise DataError(said) from error
            if -error.status in STOPPED_BY:
                raise DataError(STOPPED) from error
            raise OcrError("Tesseract crashed") from error
        except RuntimeError as error:  # pytesseract's word for a timeout
            raise OcrError("recognition took too long") from error
        return OcrResult(clean(text), confidence_of(table))


def open_tesseract(language: str, *, seconds_a_page: float = Tesseract.seconds_a_page) -> Tesseract:
    """Tesseract for pages in ``language``; from here on this process's children use one OpenMP thread.

    That is what makes many pages fast: Tesseract's threads slow each other down, pages side by side do not.

    Raises:
        DataError: the program or the language's data is missing; says which Debian package to install.
    """
    os.environ["OMP_THREAD_LIMIT"] = "1"
    package = f"tesseract-ocr-{language.replace('_', '-').lower()}"  # it brings the program along
    remedy = f"remedy, as root: apt-get install {package}"
    try:
        version = pytesseract.get_tesseract_version()
    except pytesseract.TesseractNotFoundError:
        raise DataError(f"no tesseract to read pages with ({remedy})") from None
    command = [pytesseract.pytesseract.tesseract_cmd, "--list-langs"]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    title, *languages = said.splitlines() or [""]
    if language not in languages:
        raise DataError(f"tesseract has no data of the language {language!r} ({remedy})")
    folder = re.search(r'"(.+)"', title)
    data = Path(folder[1] if folder else "", f"{language}.traineddata")
    digest = sha256_of(data)[:16] if data.is_file() else "unknown"
    return Tesseract(language, f"tesseract {version}, {language} {digest}", seconds_a_page)


def clean(text: str) -> str:
    """The text as it stands on the page, without what only the reading brought in.

    Lines and hyphens at their ends stay, for that is what the image shows. Invisible characters, double
    spaces, and lines without any letter or digit (rules, borders, specks) go.
    """
    text = unicodedata.normalize("NFC", text)
    lines = []
    for line in text.replace("\f", "\n").split("\n"):
        shown = "".join(char for char in line if char == "\t" or unicodedata.category(char) not in INVISIBLE)
        line = " ".join(shown.split())
        if line and not any(map(str.isalnum, line)):
            continue
        if line or (lines and lines[-1]):
            lines.append(line)
    return "\n".join(lines).strip()


def confidence_of(table: str) -> float:
    """Mean confidence of the words in a TSV of Tesseract, weighted by their lengths; 0 without words."""
    total = weight = 0.0
    for row in csv.DictReader(table.split("\n"), delimiter="\t", quoting=csv.QUOTE_NONE):
        word, confidence = (row["text"] or "").strip(), float(row["conf"])
        if word and confidence >= 0:
            total += confidence * len(word)
            weight += len(word)
    return total / weight if weight else 0.0
