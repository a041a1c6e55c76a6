"""Prepares a task's rows: checks fields, finds images, exchanges images for the control."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ndino.common.errors import UserError
from ndino.common.images import ImageFaultError, read_image
from ndino.evaluation import shuffle
from ndino.formats.questions.faults import asked, is_blank, question_fault, text_fault, texts_fault
from ndino.formats.questions.images import EMPTY
from ndino.formats.questions.rows import IMAGE
from ndino.formats.questions.table import Questions, document_image, questions_of
from ndino.languages.answers import reader
from ndino.languages.language import language

if TYPE_CHECKING:
    from datasets import Dataset
    from PIL.Image import Image

Document = Mapping[str, Any]
# What is wrong with a row, and the remedy; None for a good one.
Fault = tuple[str, str] | None
# Finds what is wrong with a row, by its number from 0.
Check = Callable[[int], Fault]
REPAIR = "repair or remove it"
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
    found = all_rows(dataset, source)
    require(found)
    return found


def all_rows(dataset: Dataset | Questions, source: str) -> Questions:
    """As `questions`, with the rows that could not be read, which have a fault in place of fields."""
    found = questions_of(dataset, source, Path.cwd() / source)
    if not len(found):
        raise TaskDataError(f"{source}: no rows (remedy: {AS_DOCUMENTED})")
    return found


def require(found: Questions, *checks: Check) -> None:
    """Check that every row could be read, and for each that could, all that ``checks`` look for.

    Raises:
        TaskDataError: there are faulty rows; the message names those of all checks.
    """
    kinds = [[(row, (each.fault, REPAIR)) for row, each in enumerate(found.rows) if each.fault is not None]]
    read = [row for row, each in enumerate(found.rows) if each.fault is None]
    kinds += [[(row, fault) for row in read if (fault := check(row)) is not None] for check in checks]
    if any(kinds):
        named = faulty_rows(found, *([(row, reason) for row, (reason, _) in faults] for faults in kinds))
        remedies = dict.fromkeys(faults[0][1][1] for faults in kinds if faults)
        raise TaskDataError(f"{named} (remedy: {'; '.join(remedies)})")


def faulty_rows(found: Questions, *kinds: Sequence[tuple[int, str]]) -> str:
    """``FILE row 3: reason; rows 7, 9: another``; beyond ten rows of a kind, how many more."""
    parts: list[str] = []
    before = None
    for faults in kinds:
        alike: dict[tuple[Path, str], list[int]] = {}
        for row, reason in faults[:NAMED_ROWS]:
            alike.setdefault((found.rows[row].file, reason), []).append(found.rows[row].number)
        named = []
        for (file, reason), numbers in alike.items():
            rows = f"{'rows' if len(numbers) > 1 else 'row'} {', '.join(map(str, numbers))}"
            named.append(f"{rows if file == before else f'{file} {rows}'}: {reason}")
            before = file
        parts += [with_the_rest_counted(named, len(faults))] if named else []
    return "; ".join(parts)


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


def value_check(found: Questions, column: str, fault_of: Callable[[Any], Fault]) -> Check:
    """What ``fault_of`` finds wrong with the value of a column."""
    values = found.column(column)
    return lambda row: fault_of(values[row])


def text_check(found: Questions, column: str, *, several: bool = False, may_be_empty: bool = False) -> Check:
    """Whether a column holds a text, or a list of texts with ``several``, which scoring needs."""

    def fault_of(value: Any) -> Fault:
        if may_be_empty and isinstance(value, str) and is_blank(value):
            return None
        return texts_fault(value, column) if several else text_fault(value, column)

    return value_check(found, column, fault_of)


def yes_or_no_fault(value: Any, column: str, code: str) -> Fault:
    """What is wrong with a field that must say yes or no in the language with this code, and the remedy."""
    if (fault := text_fault(value, column)) is not None or reader(code).yes_or_no(value) is not None:
        return fault
    words = language(code)
    return f"{column} {value!r:.80} is neither {words.yes[0]} nor {words.no[0]}", AS_DOCUMENTED


def question_check(found: Questions, column: str) -> Check:
    """Whether a column holds questions that can be asked, each about one image."""
    return value_check(found, column, lambda value: question_fault(value, column))


def image_check(found: Questions) -> Check:
    """Whether a row has an image, stored or in a file that exists; none is opened."""

    def check(row: int) -> Fault:
        try:
            found.image_place(row)
        except ImageFaultError as error:
            return error.reason, error.remedy
        return None

    return check


def without_imageless(found: Questions) -> Questions:
    """The rows that name or hold an image; a note says which are left out. A missing file stays a fault."""
    if IMAGE not in found.column_names:
        return found
    empty = [row for row, each in enumerate(found.rows) if each.fault is None and not _has_image(found, row)]
    return without_rows(found, [(row, "left out: it has no image") for row in empty])


def _has_image(found: Questions, row: int) -> bool:
    try:
        found.image_place(row)
    except ImageFaultError as error:
        return error.reason != EMPTY
    return True


def without_rows(found: Questions, out: Sequence[tuple[int, str]]) -> Questions:
    """The rows but those in ``out``, which a note names with its reason.

    Raises:
        TaskDataError: none would be left.
    """
    if not out:
        return found
    note, gone = faulty_rows(found, out), {row for row, _ in out}
    if len(gone) == len(found):
        raise TaskDataError(f"{note} (remedy: {AS_DOCUMENTED})")
    kept = found.select([row for row in range(len(found)) if row not in gone])
    return replace(kept, notes=(*kept.notes, note))


def without_places(found: Questions, column: str) -> Questions:
    """The questions without an ``<image>`` at their start or end."""
    return found.with_texts(column, [asked(value) for value in found.column(column)])


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
    rules: Mapping[str, Callable[[Any], Fault]] | None = None,
) -> Questions:
    """``process_docs`` of a task with images: check the schema, and exchange images for the shuffled control.

    Args:
        source: the dataset's name on the hub, which is also its folder under the data folder.
        question: the column of the questions; see `question_check`.
        columns: the other columns that must hold texts.
        lists: the columns that must hold lists of texts.
        may_be_empty: those of the columns whose texts may be empty.
        rules: further columns, and what is wrong with a value of each.

    The column ``image`` (or ``file_name``) holds images, or names of files in the dataset's folder.

    Raises:
        TaskDataError: rows that cannot be asked or scored, or have no image; all of them are named. Also
            columns that are missing, and too few images for the shuffled control.
    """
    rules = rules or {}
    found = all_rows(dataset, source)
    if any(row.fault is None for row in found.rows):
        require_columns(found, source, IMAGE, question, *columns, *lists, *rules)
    require(
        found,
        question_check(found, question),
        *(text_check(found, column, may_be_empty=column in may_be_empty) for column in columns),
        *(text_check(found, column, several=True) for column in lists),
        *(value_check(found, column, fault_of) for column, fault_of in rules.items()),
        image_check(found),
    )
    found = without_places(found, question)
    if not (number := shuffle.requested()):
        return found
    try:
        return shuffle.shuffle_images(found, shuffle.seed_of(number))
    except UserError as error:
        raise TaskDataError(f"{source}: {error}") from error


def document_images(document: Document) -> list[Image]:
    """``doc_to_visual`` of a task with an ``image`` column: the image in RGB, upright.

    Raises:
        OSError: it is no image, or a damaged one.
    """
    try:
        return [read_image(document_image(document))]
    except ImageFaultError as error:
        raise OSError(error.reason) from error
