"""Atomic writes of files and folders, and hashes of their content.

An atomic write goes to a temporary name and is renamed at the end: after a kill, a file or folder is the old
one or the new one, never half of it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

BLOCK_BYTES = 1024**2
WEIGHTS = ("*.safetensors", "*.bin")
# Of weight files larger than WHOLE_FILE_BYTES, a piece of PIECE_BYTES is hashed every STEP_BYTES: 16 GB of
# weights would take a minute to read. That is enough to notice training, which changes all values of a
# tensor; the smallest part that a stage trains, the 8B model's projector, is longer than two steps.
WHOLE_FILE_BYTES = 64 * 1024**2
STEP_BYTES, PIECE_BYTES = 4 * 1024**2, 64 * 1024


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Write ``path`` atomically: yields a temporary name beside it, which is renamed when the block ends.

    After an error the old file is unchanged. Missing parent folders are created.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Write ``folder`` atomically: yields an empty folder beside it, which replaces it when the block ends.

    After an error the old folder is unchanged. The temporary name is always ``folder.partial``, so that the
    next run removes what a killed one left: folders of weights are large. Files get the permissions of the
    umask (`follow_umask`).
    """
    temporary = partial_of(folder)
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    yield temporary
    follow_umask(temporary)
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(temporary, folder)


def partial_of(folder: Path) -> Path:
    """Where `atomic_folder` writes before it renames."""
    return folder.with_name(f"{folder.name}.partial")


def follow_umask(folder: Path) -> None:
    """Give the files below ``folder`` the permissions that any new file there has, except links of any kind.

    Needed because safetensors creates files that only their owner can read, whatever the umask.
    """
    # A new file is tried out instead of reading the umask. Reading it means changing it, also for other
    # threads, and a folder's default ACL can override it.
    with _probe(folder) as probe:
        mode = stat.S_IMODE(probe.stat().st_mode)
    for path in folder.rglob("*"):
        found = path.lstat()
        # An executable file remains executable, for everybody who may read it.
        wanted = mode | (mode & 0o444) >> 2 if found.st_mode & stat.S_IXUSR else mode
        ours = stat.S_ISREG(found.st_mode) and found.st_nlink == 1
        if ours and stat.S_IMODE(found.st_mode) != wanted:
            path.chmod(wanted)


@contextlib.contextmanager
def _probe(folder: Path) -> Iterator[Path]:
    probe = folder / f".umask.{os.getpid()}"
    try:
        probe.touch()
        yield probe
    finally:
        probe.unlink(missing_ok=True)


def write_text(path: Path, text: str, *, errors: str = "strict") -> None:
    """Write ``path`` as UTF-8, atomically; ``errors`` is for lone surrogates, which UTF-8 cannot encode."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors=errors)


def write_json(path: Path, content: Any) -> None:
    """Write ``path`` as indented JSON, atomically."""
    write_text(path, json.dumps(content, ensure_ascii=False, indent=2) + "\n")


def require_open(folder: Path) -> None:
    """Raise PermissionError for a folder that may not be read: to ``glob``, it has no files."""
    if folder.is_dir():
        os.scandir(folder).close()


def sha256_of(path: Path) -> str:
    """SHA-256 of a file as hexadecimal digits."""
    content = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            content.update(block)
    return content.hexdigest()


def fingerprint(folder: Path, patterns: Sequence[str]) -> str:
    """A hash of the names and contents of the files in ``folder`` that match any of the glob ``patterns``.

    32 hexadecimal digits. Manifests and stores keep it: the computation must not change.

    Raises:
        OSError: the folder or a file may not be read.
    """
    require_open(folder)
    total = hashlib.sha256()
    for path in sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()}):
        large = path.stat().st_size > WHOLE_FILE_BYTES and any(map(path.match, WEIGHTS))
        digest = _sha256_of_pieces(path) if large else sha256_of(path)
        total.update(os.fsencode(path.relative_to(folder)) + f"\0{digest}\n".encode())
    return total.hexdigest()[:32]


def _sha256_of_pieces(path: Path) -> str:
    size = path.stat().st_size
    content = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        for start in (*range(0, size, STEP_BYTES), size - PIECE_BYTES):
            file.seek(start)
            content.update(file.read(PIECE_BYTES))
    return content.hexdigest()


def key_of(*parts: Any) -> str:
    """A short hash of everything that a result depends on (JSON values): equal keys mean equal results."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
