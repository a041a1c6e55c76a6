"""Read the text of a page with Tesseract, with its confidence."""

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
from ndino.languages.known.tool_codes import tesseract_package

# Unicode categories without a visible glyph: control characters, and direction and joining marks that
# Tesseract inserts by mistake.
INVISIBLE = ("Cc", "Cf", "Co", "Cn", "Cs")


class OcrError(ValueError):
    """A page that Tesseract could not read; the message is the reason, short and stable."""


@dataclass(frozen=True)
class OcrResult:
    """The text of a page.

    Attributes:
        text: cleaned; with the page's lines, in Tesseract's reading order, an empty line between paragraphs.
        confidence: 0 to 100, see `confidence_of`.
    """

    text: str
    confidence: float


@dataclass(frozen=True)
class Tesseract:
    """Tesseract with the data of one language; made by `open_tesseract`.

    Attributes:
        language: Tesseract's code, for example "ita".
        identity: version of the program and hash of the language data, which the text depends on.
        seconds_a_page: time limit per page.
    """

    language: str
    identity: str
    seconds_a_page: float = 120.0

    def read(self, image: Path) -> OcrResult:
        """Read one page. Thread-safe.

        Args:
            image: the file that Tesseract reads; its resolution is taken from the file's metadata.

        Raises:
            OcrError: "recognition took too long" (the process is killed) or "Tesseract crashed".
            DataError: Tesseract failed or was stopped by a signal; the page is not at fault.
        """
        try:
            text, table = pytesseract.run_and_get_multiple_output(
                str(image),
                extensions=["txt", "tsv"],
                lang=self.language,
                timeout=self.seconds_a_page,  # pyright: ignore[reportArgumentType]  # fractions are fine
            )
        except pytesseract.TesseractError as error:
            if error.status >= 0:
                raise DataError(
                    f"tesseract failed: {reason_of(error)} (remedy: check free disk space)"
                ) from error
            if -error.status in STOPPED_BY:
                raise DataError(STOPPED) from error
            raise OcrError("Tesseract crashed") from error
        except RuntimeError as error:  # what pytesseract raises after a timeout
            raise OcrError("recognition took too long") from error
        return OcrResult(clean(str(text)), confidence_of(str(table)))


def open_tesseract(language: str, *, seconds_a_page: float = Tesseract.seconds_a_page) -> Tesseract:
    """Tesseract for pages in ``language``. From here on, child processes use one OpenMP thread.

    Many pages are read fastest with one thread each: the threads of one Tesseract slow each other down.

    Raises:
        DataError: the program or the language data is missing; names the Debian package to install.
    """
    os.environ["OMP_THREAD_LIMIT"] = "1"
    # The package of a language depends on the program's.
    remedy = f"as root, apt-get install {tesseract_package(language)}"
    try:
        version = pytesseract.get_tesseract_version()
    except pytesseract.TesseractNotFoundError:
        raise DataError(f"tesseract is not installed (remedy: {remedy})") from None
    command = [pytesseract.pytesseract.tesseract_cmd, "--list-langs"]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    title, *languages = said.splitlines() or [""]
    if language not in languages:
        raise DataError(f"tesseract has no data for the language {language!r} (remedy: {remedy})")
    folder = re.search(r'"(.+)"', title)
    data = Path(folder[1] if folder else "", f"{language}.traineddata")
    digest = sha256_of(data)[:16] if data.is_file() else "unknown"
    return Tesseract(language, f"tesseract {version}, {language} {digest}", seconds_a_page)


def clean(text: str) -> str:
    """The text of the page without artefacts of the recognition.

    Line breaks and hyphens at line ends stay, since the image shows them. Invisible characters, repeated
    spaces and lines without a letter or digit (rules, borders, specks) are removed.
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
    """The mean confidence of the words in Tesseract's TSV, weighted by length; 0 if there are no words."""
    total = weight = 0.0
    for row in csv.DictReader(table.split("\n"), delimiter="\t", quoting=csv.QUOTE_NONE):
        word, confidence = (row["text"] or "").strip(), float(row["conf"])
        if word and confidence >= 0:
            total += confidence * len(word)
            weight += len(word)
    return total / weight if weight else 0.0
