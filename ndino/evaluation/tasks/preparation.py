"""Prepares a task's rows: checks columns, attaches image files, exchanges images for the control."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ndino.common.errors import UserError
from ndino.common.images import missing_image
from ndino.evaluation import shuffle

if TYPE_CHECKING:
    from datasets import Dataset
    from PIL.Image import Image

Document = Mapping[str, Any]
_AS_DOCUMENTED = "prepare the data as the task's README says"


class TaskDataError(UserError):
    """A benchmark's data does not fit its schema; the message names the dataset, the row and the field."""


def require_columns(dataset: Dataset, source: str, *columns: str) -> None:
    """Check that a dataset has rows and these columns.

    Args:
        source: the dataset's name on the hub, for messages.

    Raises:
        TaskDataError: a column is missing, or there are no rows.
    """
    missing = [name for name in columns if name not in dataset.column_names]
    if missing:
        found = ", ".join(dataset.column_names)
        raise TaskDataError(
            f"{source}: no column {', '.join(missing)} among {found} (remedy: {_AS_DOCUMENTED})"
        )
    if not len(dataset):
        raise TaskDataError(f"{source}: no rows (remedy: {_AS_DOCUMENTED})")


def require_texts(dataset: Dataset, source: str, *columns: str, several: bool = False) -> None:
    """Check that columns hold a text in every row, or a list of texts with ``several``; scoring needs them.

    Raises:
        TaskDataError: a value is something else, such as a number or nothing.
    """
    wanted = "a list of texts" if several else "a text"
    for column in columns:
        for row, value in enumerate(dataset[column], start=1):
            texts = value if several and isinstance(value, list) else [None if several else value]
            if not all(isinstance(text, str) for text in texts):
                raise TaskDataError(
                    f"{source} row {row}: {column} is {value!r:.80}, not {wanted} "
                    "(remedy: put numbers in quotes)"
                )


def require_content(dataset: Dataset, source: str, *columns: str) -> None:
    """Check that columns hold no empty text or list, nor a list with an empty text: no answer could be right.

    Raises:
        TaskDataError: some are empty or blank; the message names the first row and counts the others.
    """
    empty = [
        (row, column, value)
        for column in columns
        for row, value in enumerate(dataset[column], start=1)
        if not value or not all(text.strip() for text in (value if isinstance(value, list) else [value]))
    ]
    if empty:
        row, column, value = min(empty, key=lambda fault: fault[0])
        others = len({fault[0] for fault in empty}) - 1
        more = f", and {others:,} more row{'s' if others > 1 else ''}" if others else ""
        raise TaskDataError(
            f"{source} row {row}: {column} is empty: {value!r:.80}{more} "
            f"(remedy: fill it in or leave out the row{'s' if others else ''})"
        )


def require_letters(dataset: Dataset, source: str, letters: str) -> None:
    """Check that the column ``answer`` holds option letters, and not the options' texts or numbers.

    A single row without a letter is accepted and scores what it scores, as in the released code.

    Raises:
        TaskDataError: not one row has one of ``letters``.
    """
    answers = dataset["answer"]
    if len(answers) and not any(answer.strip().upper() in set(letters) for answer in answers):
        raise TaskDataError(
            f"{source}: no answer is a letter from {letters[0]} to {letters[-1]}; "
            f"row 1 has {answers[0]!r:.80} (remedy: {_AS_DOCUMENTED})"
        )


def prepare(
    dataset: Dataset,
    source: str,
    *columns: str,
    lists: Sequence[str] = (),
    may_be_empty: Sequence[str] = (),
) -> Dataset:
    """``process_docs`` of a task with images: check the schema, and exchange images for the shuffled control.

    Args:
        source: the dataset's name on the hub, which is also its folder under the data folder.
        columns: the columns that must hold texts.
        lists: the columns that must hold lists of texts.
        may_be_empty: those of the columns whose texts may be empty.

    The column ``image`` (or ``file_name``) holds images as ``datasets`` stores them, or names of files in
    the dataset's folder.

    Raises:
        TaskDataError: see `require_columns`, `require_texts` and `require_content`; also when an image file
            is missing, or when there are too few images for the shuffled control.
    """
    if "image" not in dataset.column_names and "file_name" in dataset.column_names:
        dataset = dataset.rename_column("file_name", "image")
    require_columns(dataset, source, "image", *columns, *lists)
    require_texts(dataset, source, *columns)
    require_texts(dataset, source, *lists, several=True)
    require_content(dataset, source, *(name for name in (*columns, *lists) if name not in may_be_empty))
    dataset = with_images(dataset, source)
    if not shuffle.requested():
        return dataset
    try:
        return shuffle.shuffle_images(dataset)
    except UserError as error:
        raise TaskDataError(f"{source}: {error}") from error


def with_images(dataset: Dataset, source: str) -> Dataset:
    """The dataset with its column ``image`` as images: names of files become the files' images.

    Raises:
        TaskDataError: a file is missing, or the column holds neither images nor names.
    """
    from datasets import Image as ImageFeature

    feature = dataset.features["image"]
    if isinstance(feature, ImageFeature):
        return dataset
    if getattr(feature, "dtype", None) == "string":
        # The working directory is the data folder, where datasets have their hub names.
        folder = Path.cwd() / source
        for row, name in enumerate(dataset["image"], start=1):
            if name is None or not _is_file(folder / name):
                reason, remedy = missing_image(name or "(none)", folder)
                raise TaskDataError(f"{source} row {row}: {reason} (remedy: {remedy})")
        paths = [str(folder / name) for name in dataset["image"]]
        dataset = dataset.remove_columns("image").add_column("image", paths)
    try:
        return dataset.cast_column("image", ImageFeature())
    except (ValueError, TypeError, NotImplementedError) as error:
        raise TaskDataError(
            f"{source}: column image holds no images but {feature} (remedy: {_AS_DOCUMENTED})"
        ) from error


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except PermissionError:
        raise
    except (OSError, ValueError):  # too long a name, such as an image in base64, or one with a null byte
        return False


def document_images(document: Document) -> list[Image]:
    """``doc_to_visual`` of a task with an ``image`` column: the image in RGB."""
    return [document["image"].convert("RGB")]
