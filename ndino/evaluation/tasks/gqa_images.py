"""GQA's images, which are a dataset apart from its questions: indexed once, decoded one at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from ndino.evaluation import shuffle
from ndino.evaluation.lmms_eval_adapter.surroundings import DATASETS_CACHE
from ndino.evaluation.local_data import files_of, is_hub_layout
from ndino.evaluation.tasks.preparation import require_columns, with_images

if TYPE_CHECKING:
    from datasets import Dataset
    from PIL.Image import Image

SOURCE = "lmms-lab/GQA"
CONFIG = "testdev_balanced_images"
IMAGE_FILES = (".jpg", ".jpeg", ".png", ".webp")


def gqa_image_ids() -> frozenset[str]:
    """The ids of GQA's images. The first call builds an index; nothing is decoded."""
    return frozenset(_current_index()[0])


def gqa_image(image_id: str) -> Image:
    """Decode one image of GQA to RGB; with ``NDINO_SHUFFLE=1``, the one given in its place.

    Raises:
        KeyError: there is no image with this id.
    """
    readers, given = _current_index()
    return readers[given[image_id] if shuffle.requested() else image_id]()


def _current_index() -> tuple[Mapping[str, Callable[[], Image]], dict[str, str]]:
    # Another working directory or cache is other data, hence both are part of the index's cache key.
    return _index(os.getcwd(), os.environ.get(DATASETS_CACHE))


@lru_cache(maxsize=2)
def _index(folder: str, cache: str | None) -> tuple[Mapping[str, Callable[[], Image]], dict[str, str]]:
    """By id, a function that decodes the image, and the id of the image given in its place when shuffled.

    The images are files named after their ids in ``folder/lmms-lab/GQA/``, or a dataset with the columns
    ``id`` and ``image``, there or on the hub.
    """
    local = Path(folder) / SOURCE
    files = {path.stem: path for path in sorted(local.rglob("*")) if path.suffix.lower() in IMAGE_FILES}
    readers = {name: partial(_open, path) for name, path in files.items()} or _dataset_readers(local, cache)
    return readers, shuffle.shuffle_map(readers) if len(readers) > 1 else {}


def _dataset_readers(local: Path, cache: str | None) -> dict[str, Callable[[], Image]]:
    from datasets import load_dataset

    if local.is_dir() and not is_hub_layout(local):
        reader, files = files_of(local, "testdev")
        images = load_dataset(reader, data_files=[*map(str, files)], split="train", cache_dir=cache)
        require_columns(images, SOURCE, "id", "image")
        images = with_images(images, SOURCE)
    else:
        images = load_dataset(SOURCE, CONFIG, split="testdev", cache_dir=cache)
        require_columns(images, f"{SOURCE} ({CONFIG})", "id", "image")
    return {name: partial(_decode, images, row) for row, name in enumerate(images["id"])}


def _open(path: Path) -> Image:
    from PIL import Image as Pillow
    from PIL import ImageOps

    with Pillow.open(path) as found:
        # `datasets` applies the EXIF orientation to its images, so files get the same treatment.
        return ImageOps.exif_transpose(found).convert("RGB")


def _decode(images: Dataset, row: int) -> Image:
    return images[row]["image"].convert("RGB")
