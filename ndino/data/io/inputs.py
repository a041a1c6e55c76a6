"""The inputs of a source by content, as its settings and its manifest record them.

A file is ``{"file": name, "sha256": digest}``. A folder also has ``files``: how many of those that the source
names are there. Only a folder may be another one when rejects are tried again (`framework.retries`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ndino.common.checksums import READERS
from ndino.common.files import combined, digest_of, remembered, sha256_of


def file_inputs(files: Iterable[tuple[str, Path]]) -> list[dict[str, Any]]:
    """The record of these files, each with its name in the source."""
    named = list(files)
    digests = _each(digest_of, [path for _, path in named])
    return [{"file": name, "sha256": digest} for (name, _), digest in zip(named, digests, strict=True)]


def folder_input(folder: Path, files: Mapping[Path, Path]) -> dict[str, Any]:
    """The record of the files that a source takes from ``folder``, by their names there.

    They are read once, and again when one of them has changed.
    """
    names = sorted(files)
    paths = [files[name] for name in names]

    def compute() -> str:
        return combined(dict(zip(names, _each(_readable, paths), strict=True)))

    digest = remembered(paths, compute, list(map(str, names)))
    return {"file": folder.resolve().name, "files": len(names), "sha256": digest}


def _readable(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError:  # the source rejects what names it
        return "cannot be read"


def _each(digest: Any, paths: Sequence[Path]) -> list[str]:
    # Hashes and file reads leave Python's lock, so that threads run on as many cores.
    with ThreadPoolExecutor(READERS) as pool:
        digests = pool.map(digest, paths)
        return list(tqdm(digests, "Checksums", total=len(paths), unit=" files", leave=False))
