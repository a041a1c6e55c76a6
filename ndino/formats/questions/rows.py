"""The rows of one file of questions, with their numbers; no type is guessed: a text stays a text."""

from __future__ import annotations

import bisect
import codecs
import csv
import gzip
import io
import threading
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ndino.common.errors import SHOWN_REASON, reason_of, remedy_for, shown
from ndino.common.parsing import list_items, parse_row
from ndino.formats.questions.errors import QuestionsError
from ndino.formats.questions.layout import ending_of

if TYPE_CHECKING:
    from datasets import Dataset
    from pyarrow.parquet import ParquetFile

IMAGE = "image"
# Bytes of encoded images of a Parquet file that are kept in memory; at least one row group is.
KEPT_BYTES = 256 * 1024**2


@dataclass(frozen=True)
class StoredImage:
    """An image in a Parquet or Arrow file; ``read`` gives it as it is stored: bytes, a name, or both."""

    store: ParquetImages | ArrowImages
    index: int

    def read(self) -> Any:
        return self.store.read(self.index)


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        number: from 1; in lines, the number of the line.
        fields: as they stand in the file; an image stored there is a `StoredImage`.
        fault: why there are no fields, such as broken JSON; None for a good row.
    """

    file: Path
    number: int
    fields: dict[str, Any] = field(default_factory=dict)
    fault: str | None = None


def read_rows(path: Path) -> list[Row]:
    """All rows of a file, or of a folder that ``save_to_disk`` wrote.

    Raises:
        QuestionsError: the file cannot be read as what its ending says, or it holds no rows.
    """
    try:
        if path.is_dir():
            rows = _arrow_rows(path)
        elif ending_of(path) == ".parquet":
            rows = _parquet_rows(path)
        else:
            rows = _text_rows(path)
    except QuestionsError:
        raise
    except (OSError, ValueError, EOFError, zlib.error) as error:
        remedy = remedy_for(error, "copy it again")
        raise QuestionsError(f"{path}: cannot be read: {reason_of(error)} (remedy: {remedy})") from error
    if not rows:
        raise QuestionsError(f"{path}: holds no rows (remedy: as the task's README says)")
    return rows


def _text_rows(path: Path) -> list[Row]:
    ending = ending_of(path)
    content = path.read_bytes()
    if ending.endswith(".gz"):
        content = gzip.decompress(content)
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise QuestionsError(f"{path}: is UTF-16 text (remedy: save it as UTF-8)")
    content = content.removeprefix(codecs.BOM_UTF8)
    if ending.startswith(".csv"):
        return list(_csv_rows(path, content))
    if ending.startswith(".json") and not ending.startswith(".jsonl") and content.lstrip()[:1] == b"[":
        return list(_list_rows(path, content))
    return list(_line_rows(path, content))


def _line_rows(path: Path, content: bytes) -> Iterator[Row]:
    for number, line in enumerate(content.split(b"\n"), start=1):
        if line.strip():
            try:
                yield _row(path, number, parse_row(line))
            except UnicodeDecodeError as error:
                byte = error.object[error.start]
                yield Row(path, number, fault=f"broken JSON: byte 0x{byte:02x} is not UTF-8")
            except ValueError as error:
                yield Row(path, number, fault=f"broken JSON: {shown(error, SHOWN_REASON)}")


def _list_rows(path: Path, content: bytes) -> Iterator[Row]:
    # One element after the other, so that a broken one is named.
    number = 0
    try:
        for number, value in enumerate(list_items(io.BytesIO(content)), start=1):
            yield _row(path, number, value)
    except UnicodeDecodeError:
        raise
    except ValueError as error:
        raise QuestionsError(
            f"{path} row {number + 1}: broken JSON: {error} (remedy: repair or remove it)"
        ) from error


def _row(path: Path, number: int, value: Any) -> Row:
    if isinstance(value, dict):
        return Row(path, number, value)
    return Row(path, number, fault="is no JSON object")


def _csv_rows(path: Path, content: bytes) -> Iterator[Row]:
    text = content.decode("utf-8")
    header = text.partition("\n")[0]
    # Spreadsheets write semicolons where a comma stands before decimals, as in Italy.
    delimiter = ";" if ";" in header and "," not in header else ","
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    for fields in reader:
        extra = None in fields or None in fields.values()
        fault = f"has another number of columns than {', '.join(reader.fieldnames or [])}" if extra else None
        yield Row(path, reader.line_num, {} if extra else dict(fields), fault)


class ParquetImages:
    """The column ``image`` of a Parquet file, read by row groups; the last ones are kept in memory."""

    def __init__(self, file: ParquetFile) -> None:
        self.file = file
        counts = [self.file.metadata.row_group(i).num_rows for i in range(self.file.num_row_groups)]
        self.starts = [sum(counts[:i]) for i in range(len(counts) + 1)]
        self._kept: OrderedDict[int, list[Any]] = OrderedDict()
        self._bytes: dict[int, int] = {}
        # A wrapper prepares the next images in a thread of its own.
        self._lock = threading.Lock()

    def read(self, index: int) -> Any:
        group = bisect.bisect_right(self.starts, index) - 1
        with self._lock:
            if group not in self._kept:
                column = self.file.read_row_group(group, columns=[IMAGE]).column(0)
                self._kept[group], self._bytes[group] = column.to_pylist(), column.nbytes
                while len(self._kept) > 1 and sum(self._bytes.values()) > KEPT_BYTES:
                    oldest, _ = self._kept.popitem(last=False)
                    del self._bytes[oldest]
            self._kept.move_to_end(group)
            return self._kept[group][index - self.starts[group]]


class ArrowImages:
    """The column ``image`` of a data set of `datasets`, as it is stored."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def read(self, index: int) -> Any:
        row: Any = self.dataset[index]
        return row[IMAGE]


def _parquet_rows(path: Path) -> list[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    schema = file.schema_arrow
    texts = [name for name in schema.names if name != IMAGE or _is_text(schema.field(name).type, pa)]
    rows = file.read(columns=texts).to_pylist() if texts else [{} for _ in range(file.metadata.num_rows)]
    if IMAGE not in schema.names or IMAGE in texts:
        return [Row(path, number, fields) for number, fields in enumerate(rows, start=1)]
    images = ParquetImages(file)
    return [
        Row(path, index + 1, {**fields, IMAGE: StoredImage(images, index)})
        for index, fields in enumerate(rows)
    ]


def _is_text(kind: Any, pa: Any) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    binary = pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    return not (binary or pa.types.is_struct(kind))


def _arrow_rows(folder: Path) -> list[Row]:
    from datasets import load_from_disk

    found: Any = load_from_disk(str(folder))
    return rows_of_dataset(found, folder)


def rows_of_dataset(dataset: Dataset, origin: Path) -> list[Row]:
    """The rows of a data set that `datasets` has read; ``origin`` names it in messages."""
    from datasets import Image

    feature = dataset.features.get(IMAGE)
    if isinstance(feature, Image):
        dataset = dataset.cast_column(IMAGE, Image(decode=False))
    stored = isinstance(feature, (Image, dict)) or getattr(feature, "dtype", "") in ("binary", "large_binary")
    texts = dataset.remove_columns(IMAGE) if stored else dataset
    rows: list[Any] = texts.to_list() if texts.column_names else [{} for _ in range(len(dataset))]
    if not stored:
        return [Row(origin, number, fields) for number, fields in enumerate(rows, start=1)]
    images = ArrowImages(dataset.select_columns(IMAGE))
    return [
        Row(origin, index + 1, {**fields, IMAGE: StoredImage(images, index)})
        for index, fields in enumerate(rows)
    ]
