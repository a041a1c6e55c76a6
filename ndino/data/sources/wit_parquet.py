"""Read WIT as Parquet with embedded images, the form on the Hugging Face hub (wikimedia/wit_base).

There a row is an image, and ``wit_features`` is a struct of lists (or a list of structs) with an entry for
each page that shows it. Tables with a row per page and the columns of the TSV files can be read too.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ndino.common.errors import reason_of
from ndino.data.errors import DataError
from ndino.data.io.repositories import image_bytes
from ndino.data.sources.wit_table import NEEDED, WitFault, WitRow

FEATURES = "wit_features"
IMAGE = "image"
TAKEN = (*NEEDED, "original_width")
BATCH_ROWS = 128  # a row with its image has some tens of kilobytes


class WitParquetTable:
    """The rows of one language with their images, in the file's order; iterate over it once.

    An image that several pages show gives several rows with the same number.

    Attributes:
        rows: number of rows read so far.
        passed: those without a page in the language.

    Raises:
        DataError: the file is not such a table.
    """

    def __init__(self, path: Path, language: str) -> None:
        from pyarrow import ArrowException, parquet

        self._language = language
        self.rows = self.passed = 0
        try:
            self._file = parquet.ParquetFile(path)
        except (ArrowException, OSError) as error:
            raise DataError(
                f"{path}: not a WIT table: {reason_of(error)} (remedy: fetch it again)"
            ) from error
        schema = self._file.schema_arrow
        self._nested = FEATURES in schema.names
        there = set(schema.names)
        if self._nested:
            there |= _fields(schema.field(FEATURES).type)
        if missing := {*NEEDED, IMAGE} - there:
            raise DataError(
                f"{path}: not a WIT table with images: lacks {', '.join(sorted(missing))} "
                "(remedy: a file with the columns of wikimedia/wit_base)"
            )
        self._columns = [name for name in (*TAKEN, IMAGE, FEATURES) if name in schema.names]

    def __iter__(self) -> Iterator[WitRow | WitFault]:
        from pyarrow import ArrowException

        for group in range(self._file.num_row_groups):
            last = self.rows + self._file.metadata.row_group(group).num_rows
            batches = self._file.iter_batches(BATCH_ROWS, row_groups=[group], columns=self._columns)
            while self.rows < last:
                try:
                    rows = list(self._rows(next(batches)))
                except (ArrowException, OSError, UnicodeDecodeError) as error:
                    yield WitFault(self.rows + 1, "rows cannot be read", f"to row {last}: {reason_of(error)}")
                    self.rows = last
                else:
                    yield from rows

    def _rows(self, batch: Any) -> Iterator[WitRow]:
        import pyarrow

        if self._nested:
            its = _languages(batch.column(FEATURES))
        else:
            its = [[language] for language in batch.column("language").to_pylist()]
        found = [index for index, languages in enumerate(its) if self._language in languages]
        first = self.rows
        records = batch.take(pyarrow.array(found, pyarrow.int64())).to_pylist()
        for index, record in zip(found, records, strict=True):
            self.passed += first + index - self.rows
            self.rows = first + index + 1
            image = record.pop(IMAGE)
            content = image_bytes(image)
            for page in _pages(record.pop(FEATURES)) if self._nested else ({},):
                fields = {**record, **page}
                if fields["language"] == self._language:
                    yield WitRow(self.rows, {key: _text(fields.get(key)) for key in TAKEN}, content)
        self.passed += first + len(batch) - self.rows
        self.rows = first + len(batch)


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _fields(features: Any) -> set[str]:
    from pyarrow import types

    inner = features.value_type if types.is_list(features) else features
    if not types.is_struct(inner):
        return set()
    # One page's texts in a struct of no lists would be read letter by letter.
    lists = (types.is_list, types.is_large_list, types.is_null)
    if inner is features and not all(any(is_one(field.type) for is_one in lists) for field in inner):
        return set()
    return {field.name for field in inner}


def _languages(column: Any) -> list[list[str]]:
    """The languages of each row's pages, from a struct of lists or lists of structs."""
    from pyarrow import types

    if types.is_struct(column.type):
        return [languages or [] for languages in column.field("language").to_pylist()]
    return [[page["language"] for page in pages or [] if page] for pages in column.to_pylist()]


def _pages(features: dict[str, list[Any]] | list[dict[str, Any]]) -> list[dict[str, Any]]:
    if isinstance(features, list):
        return [page for page in features if page]
    full = {name: values for name, values in features.items() if values}
    return [
        {name: values[index] for name, values in full.items() if index < len(values)}
        for index in range(len(features["language"]))
    ]
