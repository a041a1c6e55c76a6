"""CELEX numbers, the identifiers of documents in EUR-Lex: their form, and lists of them in files."""

from __future__ import annotations

import gzip
import re
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ndino.common.errors import UsageError, reason_of
from ndino.common.hub import HUB_ID, hub_reason
from ndino.common.parsing import parse_json
from ndino.data.errors import DataError

COLUMN = "celex_id"
# Sector, year, type and number; optionally a second number, a corrigendum, and the date of a consolidation.
CELEX = re.compile(r"[0-9CE]\d{4}[A-Z]{1,2}\d{3,4}(?:\(\d{2}\))?(?:R\(\d{2}\))?(?:-\d{8})?", re.ASCII)
SUFFIXES = (".txt", ".parquet", ".jsonl", ".jsonl.gz", ".tar.gz")


def list_files(source: str) -> list[Path]:
    """The files that ``source`` names: a file, a folder of files, or a data set on the hub (cached).

    From a folder, the Parquet, JSONL, .tar.gz and text files are taken, sorted by path.

    Raises:
        DataError: ``source`` does not exist, or has no file of these kinds.
    """
    path = Path(source)
    if path.is_file():
        if not path.name.endswith(SUFFIXES):
            raise DataError(f"{path}: unknown file type (remedy: one of {', '.join(SUFFIXES)})")
        return [path]
    if not path.is_dir():
        path = _from_hub(source)
    found = sorted(file for file in path.rglob("*") if file.name.endswith(SUFFIXES) and file.is_file())
    if not found:
        raise DataError(f"{source}: no file with CELEX numbers in it (remedy: one of {', '.join(SUFFIXES)})")
    return found


def read_numbers(files: Iterable[Path]) -> Iterator[str]:
    """The CELEX numbers in ``files``, in order and unchecked.

    Text files have one per line (empty lines are ignored), Parquet and JSONL files a column ``celex_id``, and
    a .tar.gz file holds JSONL files, the form in which multi_eurlex is published.

    Raises:
        DataError: a file is broken or lacks the column.
    """
    for file in files:
        try:
            if file.name.endswith(".parquet"):
                yield from _from_parquet(file)
            elif file.name.endswith(".tar.gz"):
                with tarfile.open(file) as archive:
                    for member in archive:
                        # Some systems add hidden files (._name) to archives.
                        name = Path(member.name).name
                        if member.isfile() and name.endswith(".jsonl") and not name.startswith("."):
                            yield from _from_lines(archive.extractfile(member), f"{file}: {member.name}")
            elif file.name.endswith(".txt"):
                text = file.read_text(encoding="utf-8-sig")
                yield from filter(None, map(str.strip, text.splitlines()))
            else:
                with _opened(file) as lines:
                    yield from _from_lines(lines, str(file))
        except (UnicodeDecodeError, EOFError, tarfile.TarError, gzip.BadGzipFile) as error:
            raise DataError(f"{file}: broken, {reason_of(error)} (remedy: fetch it again)") from error


def _from_hub(source: str) -> Path:
    if not HUB_ID.fullmatch(source):
        raise UsageError(
            f"{source}: not a file, a folder or a data set on the hub (remedy: for the hub, owner/name)"
        )
    from huggingface_hub import snapshot_download

    patterns = [f"*{suffix}" for suffix in SUFFIXES if suffix != ".txt"]
    try:
        return Path(snapshot_download(source, repo_type="dataset", allow_patterns=patterns))
    except Exception as error:  # see `hub_reason`
        raise UsageError(
            f"{source}: no such file or folder, nor on the hub: {hub_reason(error)} "
            "(remedy: download it on a machine with internet and give the folder)"
        ) from error


def _from_parquet(file: Path) -> Iterator[str]:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(file) as table:
            if COLUMN not in table.schema_arrow.names:
                found = ", ".join(table.schema_arrow.names)
                raise DataError(
                    f"{file}: no column {COLUMN} among {found} (remedy: rename the column of CELEX numbers)"
                )
            for batch in table.iter_batches(columns=[COLUMN]):
                yield from map(str, batch.column(0).to_pylist())
    except (pyarrow.ArrowException, UnicodeDecodeError) as error:
        raise DataError(f"{file}: broken, {reason_of(error)} (remedy: fetch it again)") from error


def _from_lines(lines: Iterable[bytes] | None, name: str) -> Iterator[str]:
    for number, line in enumerate(lines or (), start=1):
        if not line.strip():
            continue
        try:
            row: Any = parse_json(line)
            yield str(row[COLUMN])
        except ValueError as error:
            raise DataError(
                f"{name} row {number}: broken JSON, {reason_of(error)} (remedy: repair or remove the line)"
            ) from error
        except (KeyError, TypeError):
            raise DataError(f"{name} row {number}: no {COLUMN} (remedy: repair or remove the line)") from None


@contextmanager
def _opened(file: Path) -> Iterator[Iterable[bytes]]:
    with gzip.open(file) if file.name.endswith(".gz") else file.open("rb") as opened:
        yield opened
