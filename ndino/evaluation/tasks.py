"""What the Italian tasks of ``tasks_it/`` share: prompts, images, and the scores of answers.

A task's own ``utils.py`` holds the rest. Prompts and paper metrics are those of the tasks released with the
paper; ``robust`` metrics stand beside them and read the same answers with ``ndino.languages.answers``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ndino.common.errors import SHOWN_PATH, shown
from ndino.evaluation import shuffle
from ndino.languages.answers import clean, normalise, read_letter, read_yes_no
from ndino.languages.language import language

if TYPE_CHECKING:
    from datasets import Dataset
    from PIL.Image import Image
    from sacrebleu import CHRF

# The paper's two instructions; they follow the question.
SHORT_ANSWER: str = language("it").words["short_answer"]
LETTER_ANSWER: str = language("it").letter_answer

# lmms-eval's variable for the folder in which `datasets` keeps what it has read.
DATASETS_CACHE = "LMMS_EVAL_DATASETS_CACHE"

# A folder of images holds these.
IMAGE_FILES = (".jpg", ".jpeg", ".png", ".webp")

Document = Mapping[str, Any]


class TaskDataError(ValueError):
    """A benchmark's data that does not fit its schema; the message names the dataset and the field."""


def require_columns(dataset: Dataset, source: str, *columns: str) -> None:
    """Check a dataset's columns.

    Raises:
        TaskDataError: a column is missing, or there are no rows.
    """
    missing = [name for name in columns if name not in dataset.column_names]
    if missing:
        found = ", ".join(dataset.column_names)
        raise TaskDataError(f"{source}: no column {', '.join(missing)} among {found} (see the task's README)")
    if not len(dataset):
        raise TaskDataError(f"{source}: no rows")


def require_texts(dataset: Dataset, source: str, *columns: str, several: bool = False) -> None:
    """Check that columns hold a text in every row, or with ``several`` a list of texts: scoring needs them.

    Raises:
        TaskDataError: a value is something else, such as a number or nothing.
    """
    wanted = "a list of texts" if several else "a text"
    for column in columns:
        for row, value in enumerate(dataset[column], start=1):
            texts = value if several and isinstance(value, list) else [None if several else value]
            if not all(isinstance(text, str) for text in texts):
                raise TaskDataError(
                    f"{source} row {row}: {column} is {value!r:.80}, not {wanted} (a number goes in quotes)"
                )


def require_letters(dataset: Dataset, source: str, letters: str) -> None:
    """Check that the column ``answer`` holds letters, and not the options' texts or numbers.

    A single row with something else is left to its score, as in the released code.

    Raises:
        TaskDataError: not one row has one of ``letters``.
    """
    answers = dataset["answer"]
    if len(answers) and not any(answer.strip().upper() in set(letters) for answer in answers):
        raise TaskDataError(
            f"{source}: no answer is a letter from {letters[0]} to {letters[-1]}; "
            f"row 1 has {answers[0]!r:.80}"
        )


def prepare(dataset: Dataset, source: str, *columns: str, lists: Sequence[str] = ()) -> Dataset:
    """``process_docs`` of a task with images: schema checked, images shuffled where asked.

    ``columns`` hold texts, ``lists`` hold lists of texts. Images are in a column ``image``: as ``datasets``
    holds them, or as the names of files in the folder of the data; these may also be called ``file_name``.

    Raises:
        TaskDataError: see ``require_columns`` and ``require_texts``; an image is missing; or too few for the
            shuffled control.
    """
    if "image" not in dataset.column_names and "file_name" in dataset.column_names:
        dataset = dataset.rename_column("file_name", "image")
    require_columns(dataset, source, "image", *columns, *lists)
    require_texts(dataset, source, *columns)
    require_texts(dataset, source, *lists, several=True)
    dataset = _with_images(dataset, source)
    if not shuffle.requested():
        return dataset
    try:
        return shuffle.shuffle_images(dataset)
    except ValueError as error:
        raise TaskDataError(f"{source}: {error}") from error


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except PermissionError:
        raise
    except (OSError, ValueError):  # a name too long, such as an image as base64, or with a null byte
        return False


def _with_images(dataset: Dataset, source: str) -> Dataset:
    from datasets import Image as ImageFeature

    feature = dataset.features["image"]
    if isinstance(feature, ImageFeature):
        return dataset
    if getattr(feature, "dtype", None) == "string":
        # Data are looked for in the working directory, under their name on the hub.
        folder = Path.cwd() / source
        for row, name in enumerate(dataset["image"], start=1):
            if name is None or not _is_file(folder / name):
                path = shown(folder / (name or ""), SHOWN_PATH)
                raise TaskDataError(f"{source} row {row}: no image {path}")
        paths = [str(folder / name) for name in dataset["image"]]
        dataset = dataset.remove_columns("image").add_column("image", paths)
    try:
        return dataset.cast_column("image", ImageFeature())
    except (ValueError, TypeError, NotImplementedError) as error:
        raise TaskDataError(f"{source}: column image holds no images but {feature}") from error


def document_images(document: Document) -> list[Image]:
    """``doc_to_visual`` of a task with an ``image`` column."""
    return [document["image"].convert("RGB")]


GQA_IMAGES = "lmms-lab/GQA"


@lru_cache(maxsize=2)
def _gqa_images(folder: str, cache: str | None) -> tuple[Mapping[str, Callable[[], Image]], dict[str, str]]:
    """By id what decodes GQA's images, and for each id the one that stands in when shuffled.

    They are files called after their ids in ``folder/lmms-lab/GQA/``, or a data set with the columns ``id``
    and ``image``, there or on the hub.
    """
    local = Path(folder) / GQA_IMAGES
    files = {path.stem: path for path in sorted(local.rglob("*")) if path.suffix.lower() in IMAGE_FILES}
    readers = {name: partial(_open, path) for name, path in files.items()} or _gqa_rows(local, cache)
    return readers, shuffle.shuffle_map(readers) if len(readers) > 1 else {}


def _gqa_rows(local: Path, cache: str | None) -> dict[str, Callable[[], Image]]:
    from datasets import load_dataset

    from ndino.evaluation.local_data import files_of, is_hub_layout

    if local.is_dir() and not is_hub_layout(local):
        reader, files = files_of(local, "testdev")
        images = load_dataset(reader, data_files=[*map(str, files)], split="train", cache_dir=cache)
        require_columns(images, GQA_IMAGES, "id", "image")
        images = _with_images(images, GQA_IMAGES)
    else:
        images = load_dataset(GQA_IMAGES, "testdev_balanced_images", split="testdev", cache_dir=cache)
        require_columns(images, f"{GQA_IMAGES} (testdev_balanced_images)", "id", "image")
    return {name: partial(_decode, images, row) for row, name in enumerate(images["id"])}


def _open(path: Path) -> Image:
    from PIL import Image as Pillow
    from PIL import ImageOps

    with Pillow.open(path) as found:
        # Upright, as `datasets` gives the images of a data set.
        return ImageOps.exif_transpose(found).convert("RGB")


def _decode(images: Dataset, row: int) -> Image:
    return images[row]["image"].convert("RGB")


def _gqa() -> tuple[Mapping[str, Callable[[], Image]], dict[str, str]]:
    # Data are looked for in the working directory first: another one is other data.
    return _gqa_images(os.getcwd(), os.environ.get(DATASETS_CACHE))


def gqa_image_ids() -> frozenset[str]:
    """The ids of GQA's images, indexed on first use; nothing is decoded."""
    return frozenset(_gqa()[0])


def gqa_image(image_id: str) -> Image:
    """Decode one image of GQA; with ``NDINO_SHUFFLE=1``, the one that stands in for it."""
    readers, given = _gqa()
    return readers[given[image_id] if shuffle.requested() else image_id]()


def exact_match(answer: str, targets: Sequence[str]) -> float:
    """The paper's exact match: lmms-eval's own, case and punctuation ignored; any target may match."""
    from lmms_eval.api.metrics import exact_match_hf_evaluate

    scores = (
        exact_match_hf_evaluate([answer], [target], ignore_case=True, ignore_punctuation=True)["exact_match"]
        for target in targets
    )
    return float(any(scores))


def same_answer(answer: str, target: str) -> bool:
    """Whether two short answers mean the same; a yes or no is read from the first word."""
    if (wanted := read_yes_no(target)) and normalise(target) in ("si", "no"):
        return read_yes_no(answer) == wanted
    wanted_text = normalise(target)
    return normalise(answer) == wanted_text if wanted_text else clean(answer) == clean(target)


def score_short_answer(answer: str, targets: Sequence[str]) -> dict[str, float]:
    """``exact_match`` as in the paper and ``robust``, each 0 or 1."""
    return {
        "exact_match": exact_match(answer, targets),
        "robust": float(any(same_answer(answer, target) for target in targets)),
    }


def score_letter(
    answer: str, target: str, letters: str, choices: Mapping[str, str] | None = None
) -> dict[str, float]:
    """``robust`` and ``unparseable`` (no single option could be read), each 0 or 1."""
    said = read_letter(answer, letters, choices)
    return {"robust": float(said == target.strip().upper()), "unparseable": float(said is None)}


def score_long_answer(answer: str, reference: str) -> dict[str, float]:
    """``chrf``: sentence-level chrF against the reference, 0 to 1; ``unparseable``: no letter or digit."""
    said, wanted = clean(answer), clean(reference)
    empty = not any(character.isalnum() for character in said)
    score = 0.0 if empty else _chrf().sentence_score(said, [wanted]).score / 100
    # A sum of shares may pass 1 by a rounding.
    return {"chrf": min(1.0, score), "unparseable": float(empty)}


@lru_cache(maxsize=1)
def _chrf() -> CHRF:
    from sacrebleu import CHRF

    return CHRF()
