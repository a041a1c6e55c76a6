"""What tells images alike: a digest of pixels, a perceptual hash and a thumbnail; kept for the next run.

The perceptual hash is ImageHash's ``phash`` of 256 bits, which hardly changes with size and compression. It
says little of plain areas, so a thumbnail of 8 × 8 pixels has to agree as well. Drawn pages with a common
layout pass both: `compare` has the last word.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ndino.common.images import pixel_digest
from ndino.data.leaks.compare import Agreement

SIDE = 16  # of the perceptual hash: SIDE x SIDE bits
THUMBNAIL = 8  # pixels a side
# Two images are compared where at most so many of 256 bits differ, and their thumbnails by at most this mean
# difference of 0 to 255. Of unrelated photographs, 98 bits or more and 24 or more differ; of a screenshot
# cropped by 5 %, up to 78 bits.
MOST_BITS, MOST_DIFFERENCE = 80, 16.0
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


def hash_image(image: Image.Image) -> HashedImage:
    """Hash an upright RGB image."""
    import imagehash

    bits = np.packbits(imagehash.phash(image, hash_size=SIDE).hash.ravel()).tobytes()
    thumbnail = image.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX).tobytes()
    return HashedImage(pixel_digest(image), bits, thumbnail)


Pair = tuple[str, str]  # `HashedImage.pixels` of a training image and of a benchmark's


class HashStore:
    """What is known of images, in a SQLite file: an interrupted search resumes behind its last chunk.

    Hashes are kept by a key of the file, sketches of the benchmarks' images and the agreement of compared
    pairs by the digests of pixels.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        with closing(self._open()) as file, file:
            for table in (
                "images (key text primary key, pixels, bits, thumbnail)",
                "sketches (pixels text primary key, sketch)",
                # Not "pairs": an earlier version kept shares of a coarser comparison there.
                "compared (own, other, share, differs, primary key (own, other)) without rowid",
            ):
                file.execute(f"create table if not exists {table}")

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=60)

    def find(self, keys: Sequence[str]) -> dict[str, HashedImage]:
        return {key: HashedImage(*rest) for key, *rest in self._rows("images", "key", keys)}

    def sketches(self, pixels: Iterable[str]) -> dict[str, bytes]:
        """The sketches that `keep` was given, by digest of pixels."""
        return dict(self._rows("sketches", "pixels", sorted(set(pixels))))

    def agreements(self, pairs: Iterable[Pair]) -> dict[Pair, Agreement]:
        wanted = set(pairs)
        rows = self._rows("compared", "own", sorted({own for own, _ in wanted}))
        return {
            (own, other): Agreement(share, bool(differs))
            for own, other, share, differs in rows
            if (own, other) in wanted
        }

    def _rows(self, table: str, column: str, values: Sequence[str]) -> list[tuple]:
        found = []
        with closing(self._open()) as file:
            for start in range(0, len(values), CHUNK):
                part = values[start : start + CHUNK]
                query = f"select * from {table} where {column} in ({','.join('?' * len(part))})"
                found += file.execute(query, part).fetchall()
        return found

    def keep(self, hashed: Mapping[str, HashedImage], sketches: Mapping[str, bytes] | None = None) -> None:
        rows = [(key, image.pixels, image.bits, image.thumbnail) for key, image in hashed.items()]
        with closing(self._open()) as file, file:
            file.executemany("insert or replace into sketches values (?, ?)", (sketches or {}).items())
            file.executemany("insert or replace into images values (?, ?, ?, ?)", rows)

    def keep_agreements(self, agreements: Mapping[Pair, Agreement]) -> None:
        rows = [(*pair, *found) for pair, found in agreements.items()]
        with closing(self._open()) as file, file:
            file.executemany("insert or replace into compared values (?, ?, ?, ?)", rows)
