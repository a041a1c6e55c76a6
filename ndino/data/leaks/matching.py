"""Finds the benchmarks' images that image files repeat: by hash, then by comparison, in worker processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from ndino.common.images import READING_VERSION, ImageFaultError, find_file, image_digest, read_image
from ndino.data.errors import DataError
from ndino.data.leaks.benchmarks import BenchmarkIndex
from ndino.data.leaks.compare import NEAR, POSSIBLE, Agreement, Sketch, sketch
from ndino.data.leaks.hashes import HashedImage, HashStore, Pair, hash_image
from ndino.formats.questions.images import read

T = TypeVar("T")
U = TypeVar("U")
Agreements = dict[Pair, Agreement]
EXACT, NEARLY, POSSIBLY = MATCHES = ("exact", "near", "possible")
SEEN = (EXACT, NEARLY)  # what counts as seen, and what --drop drops


@dataclass(frozen=True)
class Match:
    """An image of a benchmark that a training image repeats.

    Attributes:
        kind: ``exact`` for equal pixels, ``near`` where the second check agrees, ``possible`` where it cannot
            tell: the images agree in part, or but for a detail, or are too plain.
        bits: of the perceptual hash that differ.
        agreement: the share of blocks that agree; None if ``exact``, or too plain to tell.
        differs: whether a detail, such as a digit, is another one.
    """

    benchmark: str
    image: int
    kind: str
    bits: int
    agreement: float | None
    differs: bool


def surest(kinds: Iterable[str]) -> str | None:
    """The first of `MATCHES` that is among them; None of none."""
    return min(kinds, key=MATCHES.index, default=None)


class Matcher:
    """Looks image files up in the benchmarks; use it as a context manager.

    A file whose content is in the store is not hashed again, and no pair of images is compared twice.
    """

    def __init__(self, index: BenchmarkIndex, store: HashStore, workers: int) -> None:
        self.index, self.store = index, store
        self._pool = None
        if workers > 1:
            self._pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))

    def __enter__(self) -> Matcher:
        return self

    def __exit__(self, *error: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def match(self, paths: Sequence[Path]) -> list[list[Match] | str]:
        """The matches of each file, or the reason why it cannot be read.

        Raises:
            DataError: a worker process was killed.
        """
        found = dict(zip(paths, self._hashed(paths), strict=True))
        hashed = {path: image for path, image in found.items() if isinstance(image, HashedImage)}
        alike = dict(zip(hashed, self.index.alike(list(hashed.values())), strict=True))
        agreements, unread = self._agreements(hashed, alike)
        return [
            image
            if isinstance(image := unread.get(path, found[path]), str)
            else self._matches(image, alike[path], agreements)
            for path in paths
        ]

    def _hashed(self, paths: Sequence[Path]) -> list[HashedImage | str]:
        keys = self._map(_key, paths)
        known: dict[str, HashedImage | str] = dict(self.store.find(keys))
        missing = {key: path for path, key in zip(paths, keys, strict=True) if key not in known}
        new = dict(zip(missing, self._map(_hash_file, missing.values()), strict=True))
        self.store.keep({key: image for key, image in new.items() if isinstance(image, HashedImage)})
        return [(known | new)[key] for key in keys]

    def _agreements(
        self, hashed: dict[Path, HashedImage], alike: dict[Path, dict[int, int]]
    ) -> tuple[Agreements, dict[Path, str]]:
        """The agreement of every pair that is not equal, and the files that can no longer be read."""
        pairs = {
            path: [
                (image.pixels, other)
                for other in map(self.index.pixels, alike[path])
                if other != image.pixels
            ]
            for path, image in hashed.items()
        }
        known = self.store.agreements(pair for own in pairs.values() for pair in own)
        missing = {path: [pair for pair in own if pair not in known] for path, own in pairs.items()}
        tasks = [(self.store, path, [other for _, other in own]) for path, own in missing.items() if own]
        new: Agreements = {}
        unread = {}
        for (_, path, _), shares in zip(tasks, self._map(_compare_file, tasks), strict=True):
            if isinstance(shares, str):
                unread[path] = shares
            else:
                new |= dict(zip(missing[path], shares, strict=True))
        self.store.keep_agreements(new)
        return known | new, unread

    def _matches(self, image: HashedImage, alike: dict[int, int], agreements: Agreements) -> list[Match]:
        found = []
        for number, bits in alike.items():
            kind, share, differs = EXACT, None, False
            if (other := self.index.pixels(number)) != image.pixels:
                share, differs = agreements[image.pixels, other]
                if share is not None and share < POSSIBLE:
                    continue
                kind = NEARLY if share is not None and share >= NEAR and not differs else POSSIBLY
            found += [
                Match(name, number, kind, bits, share, differs)
                for name in sorted(self.index.shown_by[number])
            ]
        return found

    def _map(self, function: Callable[[T], U], tasks: Iterable[T]) -> list[U]:
        if self._pool is None:
            return list(map(function, tasks))
        try:
            return list(self._pool.map(function, tasks, chunksize=8))
        except BrokenProcessPool:
            raise DataError(
                "a process that opens images was killed, probably out of memory (remedy: --workers 1)"
            ) from None


def _read(path: Path) -> bytes:
    return read(find_file(path) or path)


def _key(path: Path) -> str:
    try:
        return f"content {image_digest(_read(path))} {READING_VERSION}"
    except ImageFaultError:
        return f"{path} cannot be read"


def _hash_file(path: Path) -> HashedImage | str:
    try:
        return hash_image(read_image(_read(path)))
    except ImageFaultError as error:
        return error.reason


def _compare_file(task: tuple[HashStore, Path, list[str]]) -> list[Agreement] | str:
    store, path, others = task
    try:
        own = Sketch(sketch(read_image(_read(path))))
    except ImageFaultError as error:
        return error.reason
    sketches = store.sketches(others)
    return [own.agreement(Sketch(sketches[other])) for other in others]
