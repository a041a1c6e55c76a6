"""Stream the rows of one language from Google's WIT tables (TSV or TSV.gz), and report every faulty row.

The files have the format of Python's csv module: tabs between fields, and fields with a line break or a quote
in quotes, with their own quotes doubled. A csv parser would spend most of its time on the rows of other
languages. Here a row begins where a line begins with a short first field, a tab and a URL (of the page). One
regular expression finds these places, and only rows of the wanted language are parsed. Valid files are read
as csv reads them, and a quote that is never closed spoils only its own row.
"""

from __future__ import annotations

import contextlib
import csv
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ndino.common.errors import reason_of
from ndino.data.errors import DataError

COLUMNS = (
    "language",
    "page_url",
    "image_url",
    "page_title",
    "section_title",
    "hierarchical_section_title",
    "caption_reference_description",
    "caption_attribution_description",
    "caption_alt_text_description",
    "mime_type",
    "original_height",
    "original_width",
    "is_main_image",
    "attribution_passes_lang_id",
    "page_changed_recently",
    "context_page_description",
    "context_section_description",
)
NEEDED = (
    "language",
    "page_url",
    "image_url",
    "caption_reference_description",
    "context_section_description",
)
BLOCK_BYTES = 1024**2
PACKED_BYTES = 16 * 1024  # read at once; in a damaged file, up to this much before the damage is lost
MAX_ROW_BYTES = 1024**2  # ours
SHOWN = 80  # characters of a faulty row that its reject quotes

_TAB, _QUOTE, _LINE_END = b"\t", b'"', b"\n"
_BYTE_ORDER_MARK, _GZIP = b"\xef\xbb\xbf", b"\x1f\x8b"
_LANGUAGE = re.compile(rb'"?[a-z]{2,12}(?:-[A-Za-z]{1,8}){0,3}"?')
_LONGEST_BEGINNING = 64  # bytes that the pattern for the beginning of a row may match
_TO_CLOSING_QUOTE = re.compile(rb'[^"]*(?:""[^"]*)*"(?!")')


@dataclass(frozen=True)
class WitFault:
    """A row that cannot be read, or text after row ``row`` that belongs to no row."""

    row: int
    reason: str
    text: str


@dataclass(frozen=True)
class WitRow:
    """A row of the language: its number in the file, from 1; its fields by column; the image, if embedded."""

    row: int
    fields: dict[str, str]
    image: bytes | None = None


class _Broken(Exception):
    """The rest of the file cannot be read."""


class WitTable:
    """The rows of one language and the faults between them, in the file's order; iterate over it once.

    Rows of other languages are not parsed. Memory use is at most a few times `MAX_ROW_BYTES`.

    Attributes:
        columns: names of the fields.
        named: whether the file's first line names them; otherwise they are `COLUMNS`.
        rows: number of rows found so far, of any language.
        passed: those of other languages.

    Raises:
        DataError: the file is not a WIT table.
        OSError: the file cannot be read.
    """

    def __init__(self, path: Path, language: str) -> None:
        self._path, self._language = path, language.encode()
        self.columns, self.named = _columns(path)
        self.rows = self.passed = 0
        self._breaks_off = ""

    def __iter__(self) -> Iterator[WitRow | WitFault]:
        for row, language, piece in self._pieces():
            if language is None:
                rest = piece.partition(_LINE_END)[2] if self.named else piece
                if rest.strip():
                    yield _fault(row, "no row begins here", rest)
            elif not self._is_ours(language):
                yield _fault(row, "no language in the first column", piece)
            else:
                yield from self._read(row, piece)
        if self._breaks_off:
            yield WitFault(self.rows, "file breaks off", self._breaks_off)

    def _is_ours(self, language: bytes) -> bool:
        return language.strip(_QUOTE) == self._language

    def _pieces(self) -> Iterator[tuple[int, bytes | None, bytes]]:
        """Number, language and bytes of each row that is not clearly of another language.

        The first piece has number 0 and no language: it is the text before the first row.
        """
        # A quoted field may hold such a line too, but then with a quote before its first tab.
        beginnings = re.compile(
            rb'\n(?:([^\t\n"]{0,32}|"[^\t\n"]{0,30}")\t"?https?://|("?%b"?)\t)' % re.escape(self._language)
        )
        others: set[bytes] = set()
        # The current piece begins after the line break at `begin`; the search continues at `seek`. A line
        # break is put before the file's first line, so that it is found like all others.
        buffer, begin, seek, row = _LINE_END, 0, 0, 0
        language: bytes | None = None
        wanted = True
        for block in self._blocks():
            buffer += block
            found = None
            for found in beginnings.finditer(buffer, seek):
                if wanted:
                    yield row, language, buffer[begin + 1 : found.start()]
                    wanted = False
                row += 1
                if found[1] not in others:
                    name = found[1] or found[2] or b""
                    if self._is_ours(name) or not _LANGUAGE.fullmatch(name):
                        wanted, begin, language = True, found.start(), name
                        continue
                    others.add(name)
                self.passed += 1
            if wanted and len(buffer) - begin > MAX_ROW_BYTES + 1:
                yield row, language, buffer[begin + 1 :]
                wanted = False
            seek = max(found.end() if found else seek, len(buffer) - _LONGEST_BEGINNING)
            kept = begin if wanted else seek
            buffer, begin, seek = buffer[kept:], 0, seek - kept
            self.rows = row
        if wanted and not self._breaks_off:
            yield row, language, buffer[begin + 1 :].removesuffix(_LINE_END)

    def _blocks(self) -> Iterator[bytes]:
        try:
            yield from _blocks(self._path)
        except _Broken as error:
            self._breaks_off = str(error)

    def _read(self, row: int, piece: bytes) -> Iterator[WitRow | WitFault]:
        """The row at the beginning of a piece, and a fault for any text after it."""
        if len(piece) > MAX_ROW_BYTES:
            yield _fault(row, "row too long", piece)
            return
        end = _end_of_row(piece)
        if end < 0:
            yield _fault(row, "quote not closed", piece)
            return
        yield self._row(row, piece[:end].removesuffix(b"\r"))
        if piece[end:].strip():
            yield _fault(row, "no row begins here", piece[end + 1 :])

    def _row(self, row: int, record: bytes) -> WitRow | WitFault:
        if b"\0" in record:
            return _fault(row, "NUL byte", record)
        try:
            text = record.decode()
        except UnicodeDecodeError:
            return _fault(row, "not UTF-8", record)
        try:
            simple = '"' not in text and "\r" not in text
            fields = text.split("\t") if simple else next(csv.reader([text], delimiter="\t"))
        except csv.Error as error:
            return _fault(row, "field too long" if "limit" in str(error) else "stray line end", record)
        if len(fields) != len(self.columns):
            return _fault(row, "wrong number of columns", record)
        return WitRow(row, dict(zip(self.columns, fields, strict=True)))


def _fault(row: int, reason: str, content: bytes) -> WitFault:
    return WitFault(row, reason, content[:SHOWN].decode(errors="replace"))


def _columns(path: Path) -> tuple[tuple[str, ...], bool]:
    """The columns of a table, and whether its first line names them.

    Raises:
        DataError: the file is not a WIT table.
    """
    head = b""
    try:
        for block in _blocks(path):
            head += block
            if len(head) > MAX_ROW_BYTES:
                break
    except _Broken as error:
        if not head:
            raise DataError(f"{path}: not a WIT table: {error} (remedy: fetch it again)") from error
    first = head[: max(_end_of_row(head), head.find(_LINE_END), 0)]
    fields: tuple[str, ...] = ()
    with contextlib.suppress(csv.Error):  # without fields it is refused below
        fields = tuple(map(str.strip, next(csv.reader([first.decode(errors="replace")], delimiter="\t"), [])))
    if fields[:2] == COLUMNS[:2] and set(NEEDED) <= set(fields):
        if len(set(fields)) < len(fields):
            raise DataError(
                f"{path}: not a WIT table: its first line names a column twice (remedy: remove one)"
            )
        return fields, True
    url = "".join(fields[1:2])
    if len(fields) == len(COLUMNS) and _LANGUAGE.fullmatch(first.split(_TAB)[0]) and "://" in url:
        return COLUMNS, False
    shown = " ".join(first[:SHOWN].decode(errors="replace").split())
    raise DataError(
        f"{path}: not a WIT table: its first line is {shown!r} "
        f"(remedy: a file with these columns, separated by tabs, the first two first: {', '.join(NEEDED)})"
    )


def _end_of_row(piece: bytes) -> int:
    """The index of the first line end outside quotes, or of the piece's end; -1 if a quote stays open."""
    size = len(piece)
    end = piece.find(_LINE_END) if _LINE_END in piece else size
    quote = piece.find(_QUOTE, 0, end)
    while quote >= 0:
        after = quote + 1
        # A quote opens a quoted field only at the beginning of the field.
        if quote == 0 or piece[quote - 1 : quote] == _TAB:
            closed = _TO_CLOSING_QUOTE.match(piece, after)
            if closed is None:
                return -1
            after = closed.end()
            if end < after:
                end = piece.find(_LINE_END, after)
                end = size if end < 0 else end
        quote = piece.find(_QUOTE, after, end)
    return end


def _blocks(path: Path) -> Iterator[bytes]:
    """The content of the file in non-empty blocks, decompressed and without a byte order mark.

    Raises:
        _Broken: a compressed file is truncated or damaged; the blocks before are intact.
    """
    with path.open("rb") as file:
        packed = file.read(len(_GZIP)) == _GZIP
        file.seek(0)
        blocks = _unpacked(file) if packed else iter(lambda: file.read(BLOCK_BYTES), b"")
        first = next(blocks, b"").removeprefix(_BYTE_ORDER_MARK)
        if first:
            yield first
            yield from blocks


def _unpacked(file: BinaryIO) -> Iterator[bytes]:
    unpacker = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    data = b""
    while data := data or file.read(PACKED_BYTES):
        try:
            block = unpacker.decompress(data, BLOCK_BYTES)
        except zlib.error as error:
            raise _Broken(reason_of(error)) from error
        if block:
            yield block
        data = unpacker.unconsumed_tail
        if unpacker.eof:
            # A gzip file may be a concatenation of several, followed by zeros (padding of a tape).
            data = (unpacker.unused_data or file.read(PACKED_BYTES)).lstrip(b"\0")
            unpacker = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
            if not data:
                return
    if block := unpacker.flush():
        yield block
    raise _Broken("the compressed file is truncated")
