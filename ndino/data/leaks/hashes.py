"""What tells images alike: a digest of pixels, a perceptual hash and a thumbnail; kept for the next run.

The perceptual hash is ImageHash's ``phash`` of 256 bits, which hardly changes with size and compression. It
says little of plain areas, so a thumbnail of 8 × 8 pixels has to agree as well. ``benchmarks/leaks.py``
measures both limits on planted copies.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from ndino.common.images import image_digest, pixel_digest
from ndino.data.errors import DataError
from ndino.formats.questions.images import ImageFaultError, decode, read

T = TypeVar("T")

SIDE = 16  # of the perceptual hash: SIDE x SIDE bits
THUMBNAIL = 8  # pixels a side
# Two images are near where at most so many of 256 bits differ, and their thumbnails by at most this mean
# difference of 0 to 255. Of unrelated images, 98 bits or more and 24 or more differ.
MOST_BITS, MOST_DIFFERENCE = 64, 16.0
CHUNK = 256  # images that are hashed together, and lost by a kill


@dataclass(frozen=True)
class HashedImage:
    """What is kept of an image.

    Attributes:
        pixels: `pixel_digest` of it in RGB, upright.
        bits: perceptual hash, 32 bytes.
        thumbnail: 8 x 8 pixels in RGB, 192 bytes.
    """

    pixels: str
    bits: bytes
    thumbnail: bytes


def hash_image(encoded: bytes) -> HashedImage:
    """Hash an encoded image; raises `ImageFaultError` if it cannot be decoded."""
    import imagehash

    image = decode(encoded)
    bits = np.packbits(imagehash.phash(image, hash_size=SIDE).hash.ravel()).tobytes()
    thumbnail = image.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX).tobytes()
    return HashedImage(pixel_digest(image), bits, thumbnail)


class HashStore:
    """Hashes by key in a SQLite file: an interrupted search resumes behind its last chunk."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        with closing(self._open()) as file, file:
            file.execute("create table if not exists images (key text primary key, pixels, bits, thumbnail)")

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=60)

    def find(self, keys: Sequence[str]) -> dict[str, HashedImage]:
        found = {}
        with closing(self._open()) as file:
            for start in range(0, len(keys), CHUNK):
                part = keys[start : start + CHUNK]
                query = f"select * from images where key in ({','.join('?' * len(part))})"
                found |= {key: HashedImage(*rest) for key, *rest in file.execute(query, part)}
        return found

    def keep(self, hashed: dict[str, HashedImage]) -> None:
        rows = [(key, image.pixels, image.bits, image.thumbnail) for key, image in hashed.items()]
        with closing(self._open()) as file, file:
            file.executemany("insert or replace into images values (?, ?, ?, ?)", rows)


class Hasher:
    """Hashes image files in worker processes; use it as a context manager.

    A file whose content is in the store is not decoded again.
    """

    def __init__(self, store: HashStore, workers: int) -> None:
        self.store = store
        self._pool = None
        if workers > 1:
            self._pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))

    def __enter__(self) -> Hasher:
        return self

    def __exit__(self, *error: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def hash(self, paths: Sequence[Path]) -> list[HashedImage | str]:
        """The hashes of each file, or the reason why it cannot be read.

        Raises:
            DataError: a worker process was killed.
        """
        keys = self._map(_key, paths)
        known: dict[str, HashedImage | str] = dict(self.store.find(keys))
        missing = {key: path for path, key in zip(paths, keys, strict=True) if key not in known}
        new = dict(zip(missing, self._map(_hash_file, list(missing.values())), strict=True))
        self.store.keep({key: image for key, image in new.items() if isinstance(image, HashedImage)})
        return [(known | new)[key] for key in keys]

    def _map(self, function: Callable[[Path], T], paths: Sequence[Path]) -> list[T]:
        if self._pool is None:
            return list(map(function, paths))
        try:
            return list(self._pool.map(function, paths, chunksize=8))
        except BrokenProcessPool:
            raise DataError(
                "a process that hashes images was killed, probably out of memory (remedy: --workers 1)"
            ) from None


def content_key(encoded: bytes) -> str:
    """Where the hashes of an encoded image are in the store."""
    return f"content {image_digest(encoded)}"


def _key(path: Path) -> str:
    try:
        return content_key(read(path))
    except ImageFaultError:
        return f"{path} cannot be read"


def _hash_file(path: Path) -> HashedImage | str:
    try:
        return hash_image(read(path))
    except ImageFaultError as error:
        return error.reason
