"""The shuffled-image control: every question keeps its text and gets another sample's image.

A model that scores the same with the right and with the shuffled images answers from the question alone.
Only the data changes, so the control works for any model and any backend. ``NDINO_SHUFFLE=1`` switches it on.
"""

from __future__ import annotations

import os
import random
from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING, TypeVar

from ndino.common.images import image_digest

if TYPE_CHECKING:
    from datasets import Dataset

SEED = 1234
VARIABLE = "NDINO_SHUFFLE"

Id = TypeVar("Id", bound=Hashable)


def requested() -> bool:
    """Whether ``NDINO_SHUFFLE=1`` is set."""
    return os.environ.get(VARIABLE) == "1"


def shuffle_map(ids: Iterable[Id], seed: int = SEED) -> dict[Id, Id]:
    """Give every distinct image id another one; none keeps its own and each is given once.

    The order of ``ids`` and how often each comes do not matter, so that a question gets the same wrong image
    in whatever order the others are asked.

    Raises:
        ValueError: fewer than two distinct ids.
    """
    distinct = sorted(set(ids))
    if len(distinct) < 2:
        raise ValueError(f"{len(distinct)} distinct image(s): the shuffled control needs two or more")
    given = list(range(len(distinct)))
    generator = random.Random(seed)
    # Sattolo's algorithm: one cycle through all, hence no fixed point.
    for i in range(len(given) - 1, 0, -1):
        j = generator.randrange(i)
        given[i], given[j] = given[j], given[i]
    return {own: distinct[other] for own, other in zip(distinct, given, strict=True)}


def shuffle_images(dataset: Dataset, column: str = "image", seed: int = SEED) -> Dataset:
    """The dataset with the images of ``column`` exchanged; all else, the order of columns included, stays.

    Images are told apart by their encoded content: rows that share an image share the wrong one, too.

    Raises:
        ValueError: fewer than two distinct images.
    """
    from datasets import Image, concatenate_datasets

    encoded = dataset.select_columns([column]).cast_column(column, Image(decode=False))
    digests = [image_digest(_content(row[column])) for row in encoded]
    row_of = {digest: row for row, digest in reversed(list(enumerate(digests)))}
    given = shuffle_map(digests, seed)
    wrong = dataset.select_columns([column]).select([row_of[given[digest]] for digest in digests])
    joined = concatenate_datasets([dataset.remove_columns(column), wrong], axis=1)
    return joined.select_columns(dataset.column_names)


def _content(image: dict) -> bytes:
    if image["bytes"] is not None:
        return image["bytes"]
    with open(image["path"], "rb") as file:
        return file.read()
