"""The shuffled-image control: every question keeps its text and gets another sample's image.

A model that scores the same with right and with shuffled images answers from the question alone. Only the
data changes, so the control works with any model and any backend. ``NDINO_SHUFFLE=1`` switches it on, a
higher number is another exchange of the images: number N has the seed ``SEED + N - 1``.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from ndino.common.errors import UserError
from ndino.common.images import ImageFaultError, image_sha256, read_image

if TYPE_CHECKING:
    from ndino.formats.questions.table import Questions

SEED = 1234
VARIABLE = "NDINO_SHUFFLE"

Id = TypeVar("Id", str, int)


def requested() -> int:
    """The number in ``NDINO_SHUFFLE``, which exchange of the images is wanted; 0 for none."""
    return int(os.environ.get(VARIABLE) or 0)


def seed_of(number: int) -> int:
    """The seed of an exchange; the first is the one of earlier versions."""
    return SEED + number - 1


def shuffle_map(ids: Iterable[Id], seed: int = SEED) -> dict[Id, Id]:
    """Map every distinct image id to another one: none to itself, and each is given once.

    The map depends on the set of ids alone, not on their order or number, so that a question gets the same
    wrong image whatever else is asked.

    Raises:
        UserError: fewer than two distinct ids.
    """
    distinct = sorted(set(ids))
    if len(distinct) < 2:
        raise UserError(
            f"{len(distinct)} distinct image(s): the shuffled control needs two or more "
            "(remedy: evaluate without --shuffle)"
        )
    given = list(range(len(distinct)))
    generator = random.Random(seed)
    # Sattolo's algorithm: a single cycle through all ids, hence none is mapped to itself.
    for i in range(len(given) - 1, 0, -1):
        j = generator.randrange(i)
        given[i], given[j] = given[j], given[i]
    return {own: distinct[other] for own, other in zip(distinct, given, strict=True)}


def exchange(images: Mapping[Id, Callable[[], bytes]], seed: int = SEED) -> dict[Id, Id]:
    """Map every image's id to that of the image shown in its place; see `shuffle_map` and `same_pixels`.

    Raises:
        UserError: fewer than two distinct images.
    """
    same = same_pixels(images)
    given = shuffle_map(same.values(), seed)
    return {name: given[same[name]] for name in images}


def shuffle_images(questions: Questions, seed: int = SEED) -> Questions:
    """The questions with their images exchanged; everything else stays.

    Images are told apart by their pixels, so rows with the same image get the same wrong image.

    Raises:
        UserError: fewer than two distinct images.
        ImageFaultError: an image cannot be read.
    """
    files = [questions.image_digest(row) for row in range(len(questions))]
    first = {digest: row for row, digest in reversed(list(enumerate(files)))}
    given = exchange({digest: partial(questions.encoded_image, row) for digest, row in first.items()}, seed)
    return questions.with_images_of([first[given[digest]] for digest in files])


def same_pixels(images: Mapping[Id, Callable[[], bytes]]) -> dict[Id, Id]:
    """For each image the smallest id among those with the same pixels: one image may have several encodings.

    Args:
        images: by id, a function that reads the encoded image. One that cannot be decoded is like no other.
    """
    smallest: dict[str, Id] = {}
    known: dict[Id, Id] = {}
    for name in sorted(images):
        try:
            pixels = image_sha256(read_image(images[name]()))
        except ImageFaultError:
            known[name] = name
        else:
            known[name] = smallest.setdefault(pixels, name)
    return known
