"""The images and questions of all benchmarks in a folder, to look up a training row's."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ndino.common.errors import UsageError
from ndino.common.images import READING_VERSION, ImageFaultError, image_digest, read_image
from ndino.data.leaks.compare import sketch
from ndino.data.leaks.hashes import CHUNK, MOST_BITS, MOST_DIFFERENCE, HashedImage, HashStore, hash_image
from ndino.formats.questions.errors import QuestionsError
from ndino.formats.questions.faults import question_fault
from ndino.formats.questions.images import encoded, image_files
from ndino.formats.questions.layout import configurations, splits_of
from ndino.formats.questions.rows import IMAGE
from ndino.formats.questions.table import Questions, read_questions
from ndino.languages.text import without_accents

GENERIC = 10  # a question about more than one in so many of a benchmark's images says nothing of a row
QUESTION_FIELDS = ("question", "sent", "prompt", "instruction", "question_text")
# A list of the images of a row, as in M3Exam.
IMAGES = "images"
# What rows call the id of an image that another data set of the folder holds.
IMAGE_IDS = ("img_id", "image_id", "imageId")
ROWS_AT_ONCE = 32  # training images that are compared with all benchmark images together
_WORDS = re.compile(r"\W+")


@dataclass
class SearchedBenchmark:
    """What is known of one data set.

    Attributes:
        questions: its texts, normalised, each with the images that it is asked about.
        elsewhere: how many rows ask a text about an image that is in another data set.
        images: for each distinct image, in how many questions it is shown.
        places: for each, the first file, row and id that show it.
        images_of: the data set that holds its images, where its rows only name their ids.
        ids: images by id, of a data set of images without questions.
        borrowed: rows that name an image's id: the id, the normalised question, and the row's place.
    """

    name: str
    rows: int = 0
    questions: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    elsewhere: Counter[str] = field(default_factory=Counter)
    images: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    places: dict[int, dict[str, Any]] = field(default_factory=dict)
    images_of: str | None = None
    ids: dict[str, int] = field(default_factory=dict)
    borrowed: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)

    def ask(self, question: str, image: int | None) -> None:
        """Count a normalised question about an image; None where it is in no data set of the folder."""
        self.questions[question].update(() if image is None else (image,))
        self.elsewhere[question] += image is None

    def generic(self, question: str) -> bool:
        """Whether it is asked about so many of the images that a row with one of them asks it by chance."""
        return self._asked(question) > max(1, len(self.images) // GENERIC)

    def specific(self, question: str) -> bool:
        """Whether it is asked about a single image."""
        return self._asked(question) == 1

    def _asked(self, question: str) -> int:
        return len(self.questions[question]) + self.elsewhere[question]


class BenchmarkIndex:
    """All benchmarks of a folder with the data sets under their hub names.

    Args:
        store: where hashes of their images are kept.

    Raises:
        UsageError: there are none.
        UserError: one cannot be read.
    """

    def __init__(self, folder: Path, store: HashStore) -> None:
        self.benchmarks: dict[str, SearchedBenchmark] = {}
        self._pixels: dict[str, int] = {}
        self._images: list[HashedImage] = []
        # Not in the store yet: to commit each image by itself can take longer than to hash it.
        self._new: dict[str, HashedImage] = {}
        self._sketches: dict[str, bytes] = {}
        # The data sets that show an image.
        self.shown_by: dict[int, set[str]] = defaultdict(set)
        for path in sorted(folder.glob("*/*")):
            if path.is_dir() and not path.name.startswith("."):
                name = f"{path.parent.name}/{path.name}"
                self.benchmarks[name] = self._read(path, name, store)
                self._keep_new(store)
        if not self.benchmarks:
            raise UsageError(
                f"{folder}: holds no OWNER/NAME/ of a benchmark "
                "(remedy: name the folder of ndino evaluate --data)"
            )
        for benchmark in self.benchmarks.values():
            self._resolve(benchmark)
        self.fill(self._images)

    def fill(self, images: list[HashedImage]) -> None:
        """Compare with these images from now on."""
        self._images = images
        words = [np.frombuffer(image.bits, dtype=np.uint64) for image in images]
        self._bits = np.array(words, dtype=np.uint64).reshape(len(words), 4)
        self._thumbnails = np.array(
            [np.frombuffer(image.thumbnail, dtype=np.uint8) for image in images], dtype=np.int16
        )

    @property
    def images(self) -> int:
        """Distinct images."""
        return len(self._images)

    def _read(self, path: Path, name: str, store: HashStore) -> SearchedBenchmark:
        found = SearchedBenchmark(name)
        splits = list(_splits(path))
        if not splits:
            for file in tqdm(image_files(path), desc=f"Hashing {name}", unit=" images", leave=False):
                number = self._add(found, file.read_bytes(), store, {"file": str(file)})
                if number is not None:
                    found.ids[file.stem] = number
            return found
        for config, split in splits:
            self._read_split(found, read_questions(path, split, config=config), store)
        return found

    def _read_split(self, found: SearchedBenchmark, questions: Questions, store: HashStore) -> None:
        column = next((name for name in QUESTION_FIELDS if name in questions.column_names), None)
        named = next((name for name in IMAGE_IDS if name in questions.column_names), None)
        for row in tqdm(range(len(questions)), desc=f"Hashing {found.name}", unit=" rows", leave=False):
            found.rows += 1
            fields, place = questions.rows[row].fields, _place(questions, row)
            images = list(self._shown(found, questions, row, store, place))
            text = fields.get(column) if column else None
            if column and (fault := question_fault(text, column)) is not None:
                found.unread.append(f"{_where(place)}: {fault[0]}")
            key = plain(text) if isinstance(text, str) else ""
            if column is None and images and "id" in place:
                found.ids[str(place["id"])] = images[0]
            if IMAGE not in questions.column_names and named and fields.get(named) is not None:
                found.borrowed.append((str(fields[named]), key, place))
            elif key:
                for image in images or [None]:
                    found.ask(key, image)

    def _shown(
        self,
        found: SearchedBenchmark,
        questions: Questions,
        row: int,
        store: HashStore,
        place: dict[str, Any],
    ) -> Iterator[int]:
        """The numbers of a row's images; those that cannot be read are noted."""
        values = questions.rows[row].fields.get(IMAGES)
        if IMAGE in questions.column_names:
            readers = [partial(questions.encoded_image, row)]
        elif isinstance(values, list):
            readers = [partial(encoded, value, questions.image_folders) for value in values]
        else:
            return
        for reader in readers:
            try:
                image = self._add(found, reader(), store, place)
            except ImageFaultError as error:
                found.unread.append(f"{_where(place)}: {error.reason}")
            else:
                if image is not None:
                    yield image

    def _resolve(self, found: SearchedBenchmark) -> None:
        """Give rows that name the id of an image that of the data set of images which holds most of them."""
        wanted = {identity for identity, _, _ in found.borrowed}
        holders = [(len(wanted & other.ids.keys()), name) for name, other in self.benchmarks.items()]
        most, holder = max(holders, key=lambda held: held[0])
        if most:
            found.images_of = holder
        for identity, key, place in found.borrowed:
            image = self.benchmarks[holder].ids.get(identity) if most else None
            if image is not None:
                self._show(found, image, place)
            elif most:
                found.unread.append(f"{_where(place)}: image {identity} is not in {holder}")
            if key:
                found.ask(key, image)

    def _add(
        self, found: SearchedBenchmark, encoded: bytes, store: HashStore, place: dict[str, Any]
    ) -> int | None:
        # Not the key of a training image: for that no sketch is kept.
        key = f"benchmark {image_digest(encoded)} {READING_VERSION}"
        hashed = self._new.get(key) or store.find([key]).get(key)
        if hashed is None:
            try:
                image = read_image(encoded)
            except ImageFaultError as error:
                found.unread.append(f"{_where(place)}: {error.reason}")
                return None
            hashed = self._new[key] = hash_image(image)
            self._sketches[hashed.pixels] = sketch(image)
            if len(self._new) == CHUNK:
                self._keep_new(store)
        if (number := self._pixels.get(hashed.pixels)) is None:
            number = self._pixels[hashed.pixels] = len(self._images)
            self._images.append(hashed)
        self._show(found, number, place)
        return number

    def _show(self, found: SearchedBenchmark, image: int, place: dict[str, Any]) -> None:
        found.images[image] += 1
        found.places.setdefault(image, place)
        self.shown_by[image].add(found.name)

    def _keep_new(self, store: HashStore) -> None:
        store.keep(self._new, self._sketches)
        self._new.clear()
        self._sketches.clear()

    def pixels(self, image: int) -> str:
        """The digest of pixels of an image, by number."""
        return self._images[image].pixels

    def alike(self, images: Sequence[HashedImage]) -> list[dict[int, int]]:
        """For each image, the benchmarks' images to compare with it, and how many bits of the hash differ."""
        parts = range(0, len(images), ROWS_AT_ONCE)
        return [found for start in parts for found in self._alike(images[start : start + ROWS_AT_ONCE])]

    def _alike(self, images: Sequence[HashedImage]) -> Iterator[dict[int, int]]:
        if not self._images:
            yield from ({} for _ in images)
            return
        asked = np.array([np.frombuffer(image.bits, dtype=np.uint64) for image in images])
        distances = np.zeros((len(images), len(self._images)), dtype=np.uint16)
        for word in range(asked.shape[1]):
            distances += np.bitwise_count(asked[:, word, None] ^ self._bits[None, :, word])
        for image, row in zip(images, distances, strict=True):
            near = np.flatnonzero(row <= MOST_BITS)
            thumbnail = np.frombuffer(image.thumbnail, dtype=np.uint8).astype(np.int16)
            alike = np.abs(self._thumbnails[near] - thumbnail).mean(axis=1) <= MOST_DIFFERENCE
            yield {number: int(row[number]) for number in near[alike].tolist()}

    def asking(self, texts: Sequence[str]) -> dict[str, set[str]]:
        """Which questions of each benchmark these texts ask, by the benchmark's name."""
        keys = {key for text in texts for key in _variants(text)}
        found = {name: keys & benchmark.questions.keys() for name, benchmark in self.benchmarks.items()}
        return {name: asked for name, asked in found.items() if asked}


def _place(questions: Questions, row: int) -> dict[str, Any]:
    """What a person needs to look a row up: file, row, and where the row has them its id and image's name."""
    found = questions.rows[row]
    named = {name: found.fields.get(name) for name in ("id", IMAGE, "file_name")}
    texts = {name: value for name, value in named.items() if isinstance(value, str | int)}
    return {"file": str(found.file), "row": found.number, **texts}


def _where(place: dict[str, Any]) -> str:
    return f"{place['file']} row {place['row']}" if "row" in place else place["file"]


def _splits(path: Path) -> Iterator[tuple[str | None, str | None]]:
    """The configurations that are there with their splits; none where the folder holds images alone.

    Raises:
        UserError: see `splits_of`; not where several configurations are named, of which some may be missing.
    """
    configs = configurations(path)
    for config in configs:
        try:
            splits = splits_of(path, config=config)
        except QuestionsError:
            if len(configs) == 1:
                raise
        else:
            yield from ((config, split) for split in splits)


def plain(text: str) -> str:
    """A question without case, accents, punctuation and ``<image>``."""
    compatible = unicodedata.normalize("NFKD", text.replace("<image>", " ").casefold())
    return _WORDS.sub(" ", without_accents(compatible)).strip()


def _variants(text: str) -> Iterator[str]:
    # Training questions may end in an instruction on a line of its own, or begin with one.
    lines = text.replace("<image>", " ").strip().splitlines()
    for part in (text, "\n".join(lines[:-1]), lines[0] if lines else "", lines[-1] if lines else ""):
        if key := plain(part):
            yield key
