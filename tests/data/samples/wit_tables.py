"""WIT tables for tests, rows with every column, written as Google's files are; and what came out of them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from PIL import Image

from ndino.data.sources.wit_table import COLUMNS

SECTION = (
    'Il Colosseo è un anfiteatro romano.\nSorge a Roma, e nell\'antichità vi si tenevano giochi "gladiatori".'
)
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'


def row(language: str = "it", **fields: str) -> dict[str, str]:
    """A sound row; ``fields`` replace its own."""
    usual = {
        "language": language,
        "page_url": f"https://{language}.wikipedia.org/wiki/Colosseo",
        "image_url": "http://127.0.0.1:9/colosseo.png",
        "page_title": "Colosseo",
        "caption_reference_description": 'Il Colosseo visto da "nord"',
        "mime_type": "image/png",
        "original_height": "30",
        "original_width": "40",
        "is_main_image": "true",
        "context_page_description": "Il Colosseo.\n\nUn monumento.",
        "context_section_description": SECTION,
    }
    return dict.fromkeys(COLUMNS, "") | usual | fields


def table(rows: Iterable[Mapping[str, str]], *, header: bool = True, line_end: str = "\n") -> bytes:
    """The file's bytes: tabs, quotes where needed, inner quotes doubled."""
    file = io.StringIO()
    writer = csv.DictWriter(file, COLUMNS, delimiter="\t", lineterminator=line_end)
    if header:
        writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().encode()


def png(shade: int, size: tuple[int, int] = (40, 30)) -> bytes:
    """An image of one colour."""
    file = io.BytesIO()
    Image.new("RGB", size, (shade % 256, 80, 160)).save(file, "PNG")
    return file.getvalue()


def rows_of(out: Path) -> list[dict]:
    """The rows of a finished folder."""
    return [json.loads(line) for line in (out / "data.jsonl").read_text().splitlines()]


def rejects_of(out: Path) -> list[tuple[str, str]]:
    """Where each reject of a finished folder is, and why."""
    rejects = [json.loads(line) for line in (out / "rejects.jsonl").read_text().splitlines()]
    return [(reject["where"], reject["reason"]) for reject in rejects]
