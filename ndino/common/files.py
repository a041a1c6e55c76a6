"""Files and folders that appear whole or not at all, and their identity by content.

What is written stands under another name first and is then renamed, so a killed run leaves no half of it.
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
# Weight files larger than this are known by evenly spaced pieces. Training moves all of a tensor that it
# touches, and the smallest that a stage trains alone, the 8B model's projector, is two of these steps long.
WHOLE_FILE_BYTES = 64 * 1024**2
STEP_BYTES, PIECE_BYTES = 4 * 1024**2, 64 * 1024


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A name to write to, beside ``path``, which takes its place in the end; after an error ``path`` stands.

    Folders above are made where they are missing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """An empty folder to fill, beside ``folder``, which takes its place in the end; else ``folder`` stands.

    It is called ``folder.partial``, so that what a killed run left there goes with the next one: folders of
    weights are large. Its files get the permissions of the umask (`follow_umask`).
    """
    temporary = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    yield temporary
    follow_umask(temporary)
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(temporary, folder)


def follow_umask(folder: Path) -> None:
    """Give the files below ``folder`` the permissions of any new file there; links, hard ones too, stay.

    safetensors writes files that only their owner can read, whatever the umask.
    """
    # The umask itself can only be read by changing it, under the feet of other threads; it is not all that
    # counts either: a folder may have default rights of its own.
    with _probe(folder) as probe:
        mode = stat.S_IMODE(probe.stat().st_mode)
    for path in folder.rglob("*"):
        found = path.lstat()
        # A program stays one, for those who may read it.
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
    """Write ``path`` as UTF-8; ``errors`` is for what UTF-8 cannot hold, half of a surrogate pair."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors=errors)


def write_json(path: Path, content: Any) -> None:
    """Write ``path`` as indented JSON."""
    write_text(path, json.dumps(content, ensure_ascii=False, indent=2) + "\n")


def sha256_of(path: Path) -> str:
    """SHA-256 of a whole file."""
    content = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            content.update(block)
    return content.hexdigest()


def fingerprint(folder: Path, patterns: Sequence[str]) -> str:
    """A hash of the files in ``folder`` that match, 32 digits; their names count, their dates do not."""
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
    """What a result depends on, as one short string; equal keys, equal results."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
