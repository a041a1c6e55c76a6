"""WIT as Parquet with the pictures in it, as on the Hugging Face hub (wikimedia/wit_base).

There a row is a picture, and its ``wit_features`` are lists with an entry for each page that shows it. Tables
with a row for each page, with the columns of the TSV, are read too, and lists of structures.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ndino.data.errors import DataError
from ndino.data.wit_table import NEEDED, Fault, Row
from ndino.errors import reason_of

FEATURES = "wit_features"
PICTURE = "image"
TAKEN = (*NEEDED, "page_url", "original_width")
BATCH_ROWS = 128  # of some tens of kilobytes each, the picture included


class ParquetTable:
    """The rows of one language in the file's order; iterate over it once.

    A row has the picture's bytes. Rows that stand for several pages give several rows of the same number.

    Attributes:
        rows: rows found so far.
        passed: those without a page in the language.

    Raises:
        DataError: the file is no such table.
    """

    def __init__(self, path: Path, language: str) -> None:
        from pyarrow import ArrowException, parquet

        self._language = language
        self.rows = self.passed = 0
        try:
            self._file = parquet.ParquetFile(path)
        except (ArrowException, OSError) as error:
            raise DataError(f"{path}: no WIT table ({reason_of(error)})") from error
        schema = self._file.schema_arrow
        self._nested = FEATURES in schema.names
        there = set(schema.names)
        if self._nested:
            there |= _fields(schema.field(FEATURES).type)
        if missing := {*NEEDED, PICTURE} - there:
            raise DataError(
                f"{path}: no WIT table with pictures: no {', '.join(sorted(missing))} "
                "(expected the columns of wikimedia/wit_base)"
            )
        self._columns = [name for name in (*TAKEN, PICTURE, FEATURES) if name in schema.names]

    def __iter__(self) -> Iterator[Row | Fault]:
        from pyarrow import ArrowException

        try:
            for batch in self._file.iter_batches(BATCH_ROWS, columns=self._columns):
                yield from self._rows(batch)
        except (ArrowException, OSError) as error:
            yield Fault(self.rows, "file breaks off", reason_of(error))

    def _rows(self, batch: Any) -> Iterator[Row]:
        languages = batch.column(FEATURES if self._nested else "language")
        if self._nested:
            languages = _languages(languages)
        found = [index for index, value in enumerate(languages.to_pylist()) if self._ours(value)]
        first = self.rows
        for index, record in zip(found, batch.take(found).to_pylist(), strict=True):
            self.passed += first + index - self.rows
            self.rows = first + index + 1
            picture = record.pop(PICTURE)
            content = picture.get("bytes") if isinstance(picture, dict) else picture
            for page in _pages(record.pop(FEATURES)) if self._nested else [{}]:
                fields = {**record, **page}
                if fields["language"] == self._language:
                    yield Row(self.rows, {key: _text(fields.get(key)) for key in TAKEN}, content or b"")
        self.passed += first + len(batch) - self.rows
        self.rows = first + len(batch)

    def _ours(self, value: str | list[str] | None) -> bool:
        return self._language in value if isinstance(value, list) else value == self._language


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _fields(features: Any) -> set[str]:
    from pyarrow import types

    inner = features.value_type if types.is_list(features) else features
    return {field.name for field in inner} if types.is_struct(inner) else set()


def _languages(features: Any) -> Any:
    """A list of languages for each row, from a structure of lists or a list of structures."""
    import pyarrow

    if pyarrow.types.is_struct(features.type):
        return features.field("language")
    return pyarrow.ListArray.from_arrays(features.offsets, features.values.field("language"))


def _pages(features: dict[str, list[Any]] | list[dict[str, Any]]) -> list[dict[str, Any]]:
    if isinstance(features, list):
        return features
    full = {name: values for name, values in features.items() if values}
    return [
        {name: values[index] for name, values in full.items() if index < len(values)}
        for index in range(len(features["language"]))
    ]
