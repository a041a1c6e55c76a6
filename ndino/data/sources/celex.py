"""CELEX numbers, by which EUR-Lex names documents: what they look like, and how lists of them are read."""

from __future__ import annotations

import gzip
import json
import re
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from ndino.common.errors import reason_of
from ndino.common.files import sha256_of
from ndino.data.errors import DataError

COLUMN = "celex_id"
# The Union's languages: code, and the name that the Publications Office and Tesseract share (ISO 639-3).
_EUROPEAN = """
bg bul, cs ces, da dan, de deu, el ell, en eng, es spa, et est, fi fin, fr fra, ga gle, hr hrv, hu hun,
it ita, lt lit, lv lav, mt mlt, nl nld, pl pol, pt por, ro ron, sk slk, sl slv, sv swe
"""
LANGUAGES: dict[str, str] = dict(pair.split() for pair in _EUROPEAN.split(","))
# Sector, year, type, number; then, of some, a second number, a corrigendum, a consolidation's date.
CELEX = re.compile(r"[0-9CE]\d{4}[A-Z]{1,2}\d{3,4}(?:\(\d{2}\))?(?:R\(\d{2}\))?(?:-\d{8})?", re.ASCII)
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
SUFFIXES = (".txt", ".parquet", ".jsonl", ".jsonl.gz", ".tar.gz")


def list_files(source: str) -> list[Path]:
    """The files behind ``source``: a file, a folder of them, or a data set on the hub (fetched once).

    A folder gives its Parquet, JSONL, .tar.gz and text files, in the order of their paths.

    Raises:
        DataError: there is nothing of that name, or no such file in it.
    """
    path = Path(source)
    if path.is_file():
        if not path.name.endswith(SUFFIXES):
            raise DataError(f"{path}: unknown kind of file (expected one of {', '.join(SUFFIXES)})")
        return [path]
    if not path.is_dir():
        path = _from_hub(source)
    found = sorted(file for file in path.rglob("*") if file.name.endswith(SUFFIXES) and file.is_file())
    if not found:
        raise DataError(f"{source}: no file with CELEX numbers in it (expected one of {', '.join(SUFFIXES)})")
    return found


def identities(files: Iterable[Path]) -> list[dict[str, str]]:
    """What a manifest says of its inputs."""
    return [{"file": file.name, "sha256": sha256_of(file)} for file in files]


def read_numbers(files: Iterable[Path]) -> Iterator[str]:
    """The CELEX numbers as they stand in ``files``, in order; not checked.

    Text files have one a line (empty lines do not count), Parquet and JSONL files a column ``celex_id``, and
    a .tar.gz holds JSONL files, as multi_eurlex is published.

    Raises:
        DataError: a file is broken or has no such column.
    """
    for file in files:
        try:
            if file.name.endswith(".parquet"):
                yield from _of_parquet(file)
            elif file.name.endswith(".tar.gz"):
                with tarfile.open(file) as archive:
                    for member in archive:
                        # What begins with a dot is what some systems add to archives.
                        name = Path(member.name).name
                        if member.isfile() and name.endswith(".jsonl") and not name.startswith("."):
                            yield from _of_lines(archive.extractfile(member), f"{file}: {member.name}")
            elif file.name.endswith(".txt"):
                text = file.read_text(encoding="utf-8-sig")
                yield from filter(None, map(str.strip, text.splitlines()))
            else:
                with _opened(file) as lines:
                    yield from _of_lines(lines, str(file))
        except (UnicodeDecodeError, EOFError, tarfile.TarError, gzip.BadGzipFile) as error:
            raise DataError(f"{file}: broken, {reason_of(error)} (remedy: fetch it again)") from error


def _from_hub(source: str) -> Path:
    if not HUB_ID.fullmatch(source):
        raise DataError(f"{source}: no such file or folder, and no data set's name on the hub (owner/name)")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    patterns = [f"*{suffix}" for suffix in SUFFIXES if suffix != ".txt"]
    try:
        return Path(snapshot_download(source, repo_type="dataset", allow_patterns=patterns))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise DataError(
            f"{source}: no such file or folder, and not to be had from the hub: {reason_of(error)} "
            "(remedy: fetch it where there is a network and name the folder)"
        ) from error


def _of_parquet(file: Path) -> Iterator[str]:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(file) as table:
            if COLUMN not in table.schema_arrow.names:
                raise DataError(f"{file}: no column {COLUMN} (it has {', '.join(table.schema_arrow.names)})")
            for batch in table.iter_batches(columns=[COLUMN]):
                yield from map(str, batch.column(0).to_pylist())
    except pyarrow.ArrowException as error:
        raise DataError(f"{file}: broken, {reason_of(error)} (remedy: fetch it again)") from error


def _of_lines(lines: Iterable[bytes] | None, name: str) -> Iterator[str]:
    for number, line in enumerate(lines or (), start=1):
        if not line.strip():
            continue
        try:
            row: Any = json.loads(line)
            yield str(row[COLUMN])
        except (ValueError, RecursionError) as error:
            raise DataError(f"{name} row {number}: broken JSON, {reason_of(error)}") from error
        except (KeyError, TypeError):
            raise DataError(f"{name} row {number}: no {COLUMN}") from None


@contextmanager
def _opened(file: Path) -> Iterator[IO[bytes]]:
    with gzip.open(file) if file.name.endswith(".gz") else file.open("rb") as opened:
        yield opened
