"""Small PDFs of every kind, made with reportlab and pypdf; their font is Helvetica."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Sequence

import pypdf
from PIL import Image
from pypdf.annotations import FreeText
from pypdf.generic import ArrayObject, DictionaryObject, FloatObject, NameObject, PdfObject, StreamObject
from reportlab.lib.colors import white
from reportlab.lib.pagesizes import A6
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

ITALIAN = (
    "Chi entra nella biblioteca lascia il",
    "cane fuori: perciò il custode può già",
    "chiudere tutte le porte verdi affinché",
    "ciascun lettore, qualunque sia ormai la",
    "sua età, resti più libero e più calmo.",
)
ENGLISH = (
    "Whoever comes into this library leaves",
    "the dog outside. The keeper then closes",
    "every green door, so that the people who",
    "read there are left in peace until it is",
    "time for them to go home in the evening.",
)

Draw = Callable[[Canvas], None]


def lines(*text: str, size: float = 12, colour: str = "black") -> Draw:
    """A page with some lines of text."""

    def draw(canvas: Canvas) -> None:
        canvas.setFont("Helvetica", size)
        canvas.setFillColor(colour)
        for number, line in enumerate(text):
            canvas.drawString(30, 350 - number * 1.5 * size, line)

    return draw


def sideways(*text: str) -> Draw:
    """As `lines`, rotated by 90 degrees to the left; needs a page of at least 420 by 350 points."""

    def draw(canvas: Canvas) -> None:
        canvas.translate(420, 0)
        canvas.rotate(90)
        lines(*text)(canvas)

    return draw


def form(*text: str) -> Draw:
    """A page whose lines of text are in the fields of a form."""

    def draw(canvas: Canvas) -> None:
        for number, line in enumerate(text):
            canvas.acroForm.textfield(
                name=f"field {number}",
                value=line,
                x=30,
                y=340 - 30 * number,
                width=240,
                height=24,
                fontSize=12,
                borderWidth=0,
                fillColor=white,
            )

    return draw


def blank(canvas: Canvas) -> None:
    """A page with nothing on it."""


def heavy(circles: int) -> Draw:
    """A page that is slow to render: about a second for 1,000 circles."""

    def draw(canvas: Canvas) -> None:
        canvas.setFillAlpha(0.5)
        for number in range(circles):
            canvas.circle(150, 200, 140 + number / circles, fill=1)

    return draw


def noise(canvas: Canvas) -> None:
    """A page of random pixels, which compresses badly."""
    specks = Image.frombytes("L", (80, 112), random.Random(0).randbytes(80 * 112))
    canvas.drawImage(ImageReader(specks.resize((840, 1176)).convert("RGB")), 0, 0, *A6)


def pdf(*pages: Draw, size: tuple[float, float] = A6) -> bytes:
    """A document of these pages."""
    file = io.BytesIO()
    canvas = Canvas(file, pagesize=size, invariant=1)
    for draw in pages:
        draw(canvas)
        canvas.showPage()
    canvas.save()
    return file.getvalue()


def rotated(content: bytes, degrees: int) -> bytes:
    """The document with /Rotate set on every page, clockwise."""
    writer = pypdf.PdfWriter(clone_from=pypdf.PdfReader(io.BytesIO(content)))
    for page in writer.pages:
        page.rotate(degrees)
    return _written(writer)


def encrypted(content: bytes, password: str) -> bytes:
    """The document with a password to open it; an empty one only forbids changes."""
    writer = pypdf.PdfWriter(clone_from=pypdf.PdfReader(io.BytesIO(content)))
    writer.encrypt(password, "owner", algorithm="RC4-128")
    return _written(writer)


def without_appearances(content: bytes) -> bytes:
    """The document with fields that readers have to draw from their values, as many programs fill them in."""
    writer = pypdf.PdfWriter(clone_from=pypdf.PdfReader(io.BytesIO(content)))
    for page in writer.pages:
        for annotation in page["/Annots"]:
            del annotation.get_object()["/AP"]
    writer.set_need_appearances_writer()
    return _written(writer)


def annotated(content: bytes, text: str) -> bytes:
    """The document with a remark on its first page, drawn by a stream of its own as editors write it."""
    writer = pypdf.PdfWriter(clone_from=pypdf.PdfReader(io.BytesIO(content)))
    drawn = StreamObject()
    drawn.set_data(f"BT /F 12 Tf 5 15 Td ({text}) Tj ET".encode("latin-1"))
    font = _dictionary(
        Type=NameObject("/Font"), Subtype=NameObject("/Type1"), BaseFont=NameObject("/Helvetica")
    )
    drawn |= _dictionary(
        Subtype=NameObject("/Form"),
        BBox=ArrayObject(map(FloatObject, (0, 0, 230, 40))),
        Resources=_dictionary(Font=_dictionary(F=font)),
    )
    remark = FreeText(text=text, rect=(30, 20, 260, 60))
    remark |= _dictionary(AP=_dictionary(N=writer._add_object(drawn)))
    writer.add_annotation(0, remark)
    return _written(writer)


def _dictionary(**entries: PdfObject) -> DictionaryObject:
    return DictionaryObject({NameObject(f"/{key}"): value for key, value in entries.items()})


def revised(content: bytes) -> bytes:
    """The document with a second revision behind the first, as programs save small changes."""
    file = io.BytesIO(content)
    writer = pypdf.PdfWriter(file, incremental=True)
    writer.add_metadata({"/Title": "Seconda versione"})
    return _written(writer)


def without_pages() -> bytes:
    return _written(pypdf.PdfWriter())


def _written(writer: pypdf.PdfWriter) -> bytes:
    file = io.BytesIO()
    writer.write(file)
    return file.getvalue()


def italian(number: int, rows: Sequence[str] = ITALIAN) -> bytes:
    """A document of one page with Italian text and a number."""
    return pdf(lines(f"Articolo {number}", *rows))
