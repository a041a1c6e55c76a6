"""GQA's images, which are a dataset apart from its questions: indexed once, decoded one at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from ndino.common.errors import UserError
from ndino.common.images import ImageFaultError, read_image
from ndino.evaluation import shuffle
from ndino.evaluation.lmms_eval_adapter.surroundings import DATASETS_CACHE
from ndino.evaluation.tasks.framework.preparation import (
    TaskDataError,
    image_check,
    questions,
    require,
    require_columns,
    text_check,
)
from ndino.formats.questions.images import image_files
from ndino.formats.questions.layout import is_hub_layout
from ndino.formats.questions.table import read_questions

if TYPE_CHECKING:
    from PIL.Image import Image

SOURCE = "lmms-lab/GQA"
CONFIG = "testdev_balanced_images"


def gqa_image_ids() -> frozenset[str]:
    """The ids of GQA's images. The first call builds an index; nothing is decoded."""
    return frozenset(_current_index()[0])


def gqa_image(image_id: str) -> Image:
    """Decode one image of GQA to RGB; with ``NDINO_SHUFFLE``, the one given in its place.

    Raises:
        KeyError: there is no image with this id.
        OSError: it cannot be read.
    """
    readers, given = _current_index()
    try:
        return read_image(readers[given[image_id] if shuffle.requested() else image_id]())
    except ImageFaultError as error:
        raise OSError(f"image {image_id}: {error.reason}") from error


def _current_index() -> tuple[Mapping[str, Callable[[], bytes]], dict[str, str]]:
    # Another working directory or cache is other data, hence both are part of the index's cache key.
    return _index(os.getcwd(), os.environ.get(DATASETS_CACHE), shuffle.requested())


@lru_cache(maxsize=4)
def _index(
    folder: str, cache: str | None, number: int
) -> tuple[Mapping[str, Callable[[], bytes]], dict[str, str]]:
    """By id, a function that reads the image, and the id of the image given in its place by an exchange.

    The images are files named after their ids in ``folder/lmms-lab/GQA/``, or a dataset with the columns
    ``id`` and ``image``, there or on the hub.
    """
    local = Path(folder) / SOURCE
    files = {path.stem: path for path in image_files(local)}
    readers = {name: path.read_bytes for name, path in files.items()} or _dataset_readers(local, cache)
    return readers, _exchange(readers, number) if number else {}


def _exchange(readers: Mapping[str, Callable[[], bytes]], number: int) -> dict[str, str]:
    try:
        return shuffle.exchange(readers, shuffle.seed_of(number))
    except UserError as error:
        raise TaskDataError(f"{SOURCE}: {error}") from error


def _dataset_readers(local: Path, cache: str | None) -> dict[str, Callable[[], bytes]]:
    if local.is_dir():
        config = CONFIG if is_hub_layout(local) else None
        found = questions(read_questions(local, "testdev", config=config), SOURCE)
    else:
        from datasets import load_dataset

        found = questions(load_dataset(SOURCE, CONFIG, split="testdev", cache_dir=cache), SOURCE)
    require_columns(found, SOURCE, "id", "image")
    require(found, text_check(found, "id"), image_check(found))
    return {name: partial(found.encoded_image, row) for row, name in enumerate(found.column("id"))}
