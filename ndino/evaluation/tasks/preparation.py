"""Prepares a task's rows: checks fields, finds images, exchanges images for the control."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ndino.common.errors import UserError
from ndino.common.images import ImageFaultError, read_image
from ndino.evaluation import shuffle
from ndino.formats.questions.faults import asked, is_blank, question_fault, text_fault, texts_fault
from ndino.formats.questions.rows import IMAGE
from ndino.formats.questions.table import Questions, document_image, questions_of

if TYPE_CHECKING:
    from datasets import Dataset
    from PIL.Image import Image

Document = Mapping[str, Any]
# What is wrong with a row, and the remedy; None for a good one.
Fault = tuple[str, str] | None
AS_DOCUMENTED = "prepare the data as the task's README says"
NAMED_ROWS = 10  # faulty rows that a message names


class TaskDataError(UserError):
    """A benchmark's data does not fit its schema; the message names the file, the row and the field."""


def questions(dataset: Dataset | Questions, source: str) -> Questions:
    """The rows of a task, however they were read; those that could not be are an error.

    Args:
        source: the dataset's name on the hub, which is also its folder in the working directory, and its
            name in messages where there is no file.

    Raises:
        TaskDataError: there are no rows, or one could not be read.
    """
    found = questions_of(dataset, source, Path.cwd() / source)
    if not len(found):
        raise TaskDataError(f"{source}: no rows (remedy: {AS_DOCUMENTED})")
    require(found, lambda row: _fault(found.rows[row].fault, "repair or remove it"))
    return found


def require(found: Questions, fault_of: Callable[[int], Fault]) -> None:
    """Check every row; ``fault_of`` gets its number from 0.

    Raises:
        TaskDataError: there are faulty rows; the message names them.
    """
    faults = [(row, fault) for row in range(len(found)) if (fault := fault_of(row)) is not None]
    if not faults:
        return
    named = faulty_rows(found, [(row, reason) for row, (reason, _) in faults])
    raise TaskDataError(f"{named} (remedy: {faults[0][1][1]})")


def faulty_rows(found: Questions, faults: Sequence[tuple[int, str]]) -> str:
    """``FILE row 3: reason; rows 7, 9: another``; beyond ten rows, how many more."""
    alike: dict[tuple[Path, str], list[int]] = {}
    for row, reason in faults[:NAMED_ROWS]:
        alike.setdefault((found.rows[row].file, reason), []).append(found.rows[row].number)
    parts, before = [], None
    for (file, reason), numbers in alike.items():
        rows = f"{'rows' if len(numbers) > 1 else 'row'} {', '.join(map(str, numbers))}"
        parts.append(f"{rows if file == before else f'{file} {rows}'}: {reason}")
        before = file
    return with_the_rest_counted(parts, len(faults))


def with_the_rest_counted(parts: Sequence[str], faults: int) -> str:
    """What is said of the first ten of ``faults`` faulty rows; beyond these, how many more."""
    more = [f"and {faults - NAMED_ROWS} more"] if faults > NAMED_ROWS else []
    return "; ".join([*parts, *more])


def require_columns(found: Questions, source: str, *columns: str) -> None:
    """Check that questions have these columns.

    Raises:
        TaskDataError: one is missing.
    """
    missing = [name for name in columns if name not in found.column_names]
    if missing:
        there = ", ".join(found.column_names)
        raise TaskDataError(
            f"{source}: no column {', '.join(missing)} among {there} (remedy: {AS_DOCUMENTED})"
        )


def require_texts(
    found: Questions, *columns: str, several: bool = False, may_be_empty: Sequence[str] = ()
) -> None:
    """Check that columns hold a text in every row, or a list of texts with ``several``; scoring needs them.

    Args:
        may_be_empty: those of the columns whose texts may be empty.

    Raises:
        TaskDataError: a value is something else, such as a number or nothing, or it is empty.
    """
    check = texts_fault if several else text_fault
    for column in columns:
        values = found.column(column)
        if column in may_be_empty:
            values = ["-" if isinstance(value, str) and is_blank(value) else value for value in values]
        require(found, lambda row, values=values, column=column: check(values[row], column))


def with_questions(found: Questions, column: str) -> Questions:
    """Check the questions, each about one image, and take away an ``<image>`` at their start or end.

    Raises:
        TaskDataError: one is empty or no text, or has an ``<image>`` elsewhere.
    """
    values = found.column(column)
    require(found, lambda row: question_fault(values[row], column))
    return found.with_texts(column, [asked(value) for value in values])


def require_letters(found: Questions, source: str, letters: str) -> None:
    """Check that the column ``answer`` holds option letters, and not the options' texts or numbers.

    A single row without a letter is accepted and scores what it scores, as in the released code.

    Raises:
        TaskDataError: not one row has one of ``letters``.
    """
    answers = found.column("answer")
    if not any(answer.strip().upper() in set(letters) for answer in answers):
        raise TaskDataError(
            f"{source}: no answer is a letter from {letters[0]} to {letters[-1]}; "
            f"row 1 has {answers[0]!r:.80} (remedy: {AS_DOCUMENTED})"
        )


def prepare(
    dataset: Dataset | Questions,
    source: str,
    question: str,
    *columns: str,
    lists: Sequence[str] = (),
    may_be_empty: Sequence[str] = (),
) -> Questions:
    """``process_docs`` of a task with images: check the schema, and exchange images for the shuffled control.

    Args:
        source: the dataset's name on the hub, which is also its folder under the data folder.
        question: the column of the questions; see `with_questions`.
        columns: the other columns that must hold texts.
        lists: the columns that must hold lists of texts.
        may_be_empty: those of the columns whose texts may be empty.

    The column ``image`` (or ``file_name``) holds images, or names of files in the dataset's folder.

    Raises:
        TaskDataError: see `questions`, `require_columns`, `with_questions` and `require_texts`; also when an
            image is missing, or when there are too few images for the shuffled control.
    """
    found = questions(dataset, source)
    require_columns(found, source, IMAGE, question, *columns, *lists)
    found = with_questions(found, question)
    require_texts(found, *columns, may_be_empty=may_be_empty)
    require_texts(found, *lists, several=True)
    require_images(found)
    if not (number := shuffle.requested()):
        return found
    try:
        return shuffle.shuffle_images(found, shuffle.seed_of(number))
    except UserError as error:
        raise TaskDataError(f"{source}: {error}") from error


def require_images(found: Questions) -> None:
    """Check that every row has an image; none is opened.

    Raises:
        TaskDataError: a file is missing, or a row holds neither an image nor a name.
    """

    def fault(row: int) -> Fault:
        try:
            found.image_place(row)
        except ImageFaultError as error:
            return error.reason, error.remedy
        return None

    require(found, fault)


def document_images(document: Document) -> list[Image]:
    """``doc_to_visual`` of a task with an ``image`` column: the image in RGB, upright.

    Raises:
        OSError: it is no image, or a damaged one.
    """
    try:
        return [read_image(document_image(document))]
    except ImageFaultError as error:
        raise OSError(error.reason) from error


def _fault(reason: str | None, remedy: str) -> Fault:
    return None if reason is None else (reason, remedy)
