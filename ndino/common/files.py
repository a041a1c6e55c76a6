"""Atomic writes of files and folders, and hashes of their content.

An atomic write goes to a temporary name and is renamed at the end: after a kill, a file or folder is the old
one or the new one, never half of it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ndino.common.caches import cache_folder

BLOCK_BYTES = 1024**2
WEIGHTS = ("*.safetensors", "*.bin")
# The digest of a larger file is remembered in the user's cache folder, by inode, size and times. Pieces
# of a file would be quicker to read once, but would miss a small tensor or a single row of an embedding.
REMEMBERED_BYTES = 64 * 1024**2
# A file may change again within the resolution of its times, so the digest of a newer one is not remembered.
SETTLED_NANOSECONDS = 3 * 10**9


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
    except OSError as error:
        if error.filename in (temporary, os.fspath(temporary)):
            error.filename, error.filename2 = os.fspath(path), None  # nobody knows the temporary name
        raise
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


def nearest_existing(path: Path) -> Path:
    """``path``, or the nearest folder above it that exists, where it would be made."""
    return next(each for each in (path, *path.parents) if each.exists())


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
    found = {path for pattern in patterns for path in folder.glob(pattern) if path.is_file()}
    return combined({path.relative_to(folder): digest_of(path) for path in found})


def combined(digests: Mapping[Path, str]) -> str:
    """The `fingerprint` of a folder whose files have these digests, by path relative to it."""
    total = hashlib.sha256()
    for path, digest in sorted(digests.items()):
        total.update(os.fsencode(path) + f"\0{digest}\n".encode())
    return total.hexdigest()[:32]


def files_below(folder: Path, above: tuple[str, ...] = ()) -> Iterator[Path]:
    """The files below ``folder``, hidden ones left out; links are followed, to files and to folders.

    Raises:
        OSError: a folder may not be read.
    """
    real = os.path.realpath(folder)
    if real in above:  # a link back to a folder that it is in
        return
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from files_below(folder / entry.name, (*above, real))
        elif entry.is_file():
            yield folder / entry.name


def digest_of(path: Path) -> str:
    """`sha256_of` a file; a large one is read once, and again when it has changed."""
    if path.stat().st_size <= REMEMBERED_BYTES:
        return sha256_of(path)
    return remembered([path], lambda: sha256_of(path))


def remembered(paths: Sequence[Path], compute: Callable[[], str], *about: Any) -> str:
    """The hexadecimal digest that ``compute`` makes of these files; computed again when one has changed.

    Args:
        about: what else it depends on (JSON values).
    """

    def state() -> tuple[Path, int]:
        found = [path.stat() for path in paths]
        # The time of the inode's last change shows a file that was rewritten under its old time of writing.
        states = [(f.st_dev, f.st_ino, f.st_size, f.st_mtime_ns, f.st_ctime_ns) for f in found]
        changed = max((max(f.st_mtime_ns, f.st_ctime_ns) for f in found), default=0)
        return cache_folder() / "digests" / key_of(states, *about), changed

    try:
        place, _ = state()
    except OSError:  # no folder for caches
        return compute()
    with contextlib.suppress(OSError, UnicodeDecodeError):
        if re.fullmatch("[0-9a-f]{32,64}", digest := place.read_text(encoding="ascii")):
            return digest
    digest = compute()
    after, changed = state()
    if after == place and time.time_ns() - changed > SETTLED_NANOSECONDS:
        with contextlib.suppress(OSError):
            write_text(place, digest)
    return digest


def key_of(*parts: Any) -> str:
    """A short hash of everything that a result depends on (JSON values): equal keys mean equal results."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
