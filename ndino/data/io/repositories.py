"""Data sets in the layout of the Hugging Face hub, in a local folder or on the hub (fetched file by file)."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ndino.common.errors import UsageError, reason_of, remedy_for
from ndino.common.hub import hub_reason, require_dataset
from ndino.data.errors import DataError
from ndino.data.io.inputs import file_inputs


class DataRepository(Protocol):
    """The files of a data set; paths are relative, with forward slashes."""

    @property
    def name(self) -> str:
        """The folder, or the name on the hub."""
        ...

    def files(self, patterns: Sequence[str]) -> list[str]:
        """The files that match the first pattern with a match, sorted by name."""
        ...

    def path(self, file: str) -> Path:
        """The local path of a file, downloaded if need be."""
        ...


@dataclass(frozen=True)
class LocalRepository:
    """A local folder with the layout of a hub repository."""

    name: str

    def files(self, patterns: Sequence[str]) -> list[str]:
        root = Path(self.name)
        return _first_match(
            sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()), patterns
        )

    def path(self, file: str) -> Path:
        return Path(self.name, file)


class HubRepository:
    """A data set on the Hugging Face hub; its files are kept in the hub's cache.

    Raises:
        UsageError: on listing, the hub has no such data set or does not answer.
        DataError: a file of it cannot be fetched.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._listed: list[str] | None = None

    def files(self, patterns: Sequence[str]) -> list[str]:
        if self._listed is None:
            from huggingface_hub import HfApi

            try:
                require_dataset(self.name)
                self._listed = sorted(HfApi().list_repo_files(self.name, repo_type="dataset"))
            except Exception as error:  # see `hub_reason`
                raise UsageError(
                    f"{self.name}: no such folder, nor on the hub: {hub_reason(error)} "
                    f"(remedy: {self._remedy})"
                ) from error
        return _first_match(self._listed, patterns)

    def path(self, file: str) -> Path:
        from huggingface_hub import hf_hub_download

        try:
            return Path(hf_hub_download(self.name, file, repo_type="dataset"))
        except Exception as error:
            remedy = remedy_for(error, self._remedy)
            raise DataError(f"{self.name}: {file}: {hub_reason(error)} (remedy: {remedy})") from error

    @property
    def _remedy(self) -> str:
        return (
            f"hf download {self.name} --repo-type dataset --local-dir FOLDER on a machine with internet, "
            "then give FOLDER"
        )


def open_repository(name: str) -> DataRepository:
    """The local folder ``name`` if it exists, else the hub's data set of that name."""
    return LocalRepository(name) if Path(name).is_dir() else HubRepository(name)


def _first_match(files: Sequence[str], patterns: Sequence[str]) -> list[str]:
    for pattern in patterns:
        if found := [file for file in files if fnmatch.fnmatch(file, pattern)]:
            return found
    return []


@dataclass(frozen=True)
class SourceTable:
    """Parquet files read as one table of at most ``rows`` rows."""

    paths: tuple[Path, ...]
    rows: int

    def read(
        self, columns: Sequence[str], wanted: Callable[[int], bool]
    ) -> Iterator[tuple[int, dict[str, Any] | None]]:
        """Row numbers and rows, in order; unwanted rows are None and are not decoded.

        Raises:
            DataError: a file is broken or lacks a column.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        number = 0
        for path in self.paths:
            try:
                with pq.ParquetFile(path) as file:
                    _require(path, columns, file.schema_arrow.names)
                    for group in range(file.num_row_groups):
                        size = min(file.metadata.row_group(group).num_rows, self.rows - number)
                        numbers = range(number, number + size)
                        number += size
                        if not any(map(wanted, numbers)):
                            yield from ((one, None) for one in numbers)
                            continue
                        remaining = iter(numbers)
                        # A few rows at a time: a row group may hold gigabytes of images.
                        for batch in file.iter_batches(16, row_groups=[group], columns=list(columns)):
                            for index, one in zip(range(len(batch)), remaining, strict=False):
                                row = batch.slice(index, 1).to_pylist()[0] if wanted(one) else None
                                yield one, row
            except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
                raise DataError(f"{path}: {reason_of(error)} (remedy: fetch the file again)") from error


def open_table(
    repository: DataRepository, patterns: Sequence[str], *, rows: int | None = None
) -> SourceTable:
    """The Parquet files that match ``patterns``, only as many as hold the first ``rows`` rows.

    Raises:
        DataError: no file matches, or one is broken.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    found = repository.files(patterns)
    if not found:
        raise DataError(f"{repository.name}: no file {' or '.join(patterns)} (remedy: give the right folder)")
    paths, total = [], 0
    for name in found:
        if rows is not None and total >= rows:
            break
        path = repository.path(name)
        try:
            total += pq.read_metadata(path).num_rows
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{path}: {reason_of(error)} (remedy: fetch the file again)") from error
        paths.append(path)
    return SourceTable(tuple(paths), total if rows is None else min(rows, total))


def inputs_of(repository: DataRepository, tables: Sequence[SourceTable]) -> list[dict[str, Any]]:
    """The manifest's record of the inputs: file name and SHA-256."""
    root = Path(repository.name)
    return file_inputs(
        (path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name, path)
        for table in tables
        for path in table.paths
    )


def image_bytes(value: Any) -> bytes:
    """The bytes in a cell of the hub's image type, empty if it has none."""
    content = value.get("bytes") if isinstance(value, dict) else value
    return content if isinstance(content, bytes) else b""


def _require(path: Path, columns: Sequence[str], found: Sequence[str]) -> None:
    if missing := [column for column in columns if column not in found]:
        raise DataError(
            f"{path}: no column {', '.join(missing)} among {', '.join(found)} (remedy: give the right folder)"
        )
