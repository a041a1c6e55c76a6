"""Images with questions that the page offers, from benchmarks in any of the layouts that are read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, zip_longest
from pathlib import Path

from ndino.common.errors import UsageError, UserError
from ndino.common.images import ImageFaultError
from ndino.formats.questions.faults import question_fault
from ndino.formats.questions.layout import splits_of
from ndino.formats.questions.table import Questions, document_image, read_questions

MOST, OF_ONE_SET = 8, 2
# A question with options is none without them, and these are columns of their own: SEED-Bench's, MMBench's,
# ScienceQA's, M3Exam's.
_OPTIONS = {"choice_a", "A", "choices", "options"}


@dataclass(frozen=True)
class Example:
    """An image file with a question about it."""

    name: str
    content: bytes
    question: str


def find_examples(data: Path, *, required: bool) -> list[Example]:
    """The first question of each set in ``data``, then the second ones; eight at most, of different images.

    Args:
        data: the folder of a set, or one that holds sets under their hub names, as for ``ndino evaluate``.
        required: whether a folder without any is an error.

    Raises:
        UsageError: no set in ``data`` has questions with images.
    """
    seen: set[bytes] = set()
    turns = zip_longest(*(_examples(folder, seen) for folder in _sets(data)))
    found = [example for turn in turns for example in turn if example][:MOST]
    if required and not found:
        raise UsageError(
            f"{data}: no questions with images (remedy: name a folder of benchmarks, such as "
            "runs/demo/data/benchmarks)"
        )
    return found


def _sets(data: Path) -> list[Path]:
    below = sorted(folder for folder in data.glob("*/*") if folder.is_dir())
    return [data, *below]


def _examples(folder: Path, seen: set[bytes]) -> list[Example]:
    try:
        questions = read_questions(folder, next(iter(splits_of(folder)), None))
    except (UserError, OSError):
        return []  # no set, or one that `ndino evaluate` says what is wrong with
    return list(islice(_sound(questions, folder.name, seen), OF_ONE_SET))


def _sound(questions: Questions, name: str, seen: set[bytes]) -> Iterator[Example]:
    if not _OPTIONS.isdisjoint(questions.column_names):
        return
    for number, document in enumerate(questions):
        question = document.get("question")
        if not isinstance(question, str) or question_fault(question, "question"):
            continue
        try:
            content = document_image(document)
        except (ImageFaultError, KeyError):
            continue
        if content not in seen:
            seen.add(content)
            yield Example(f"{name}-{number}", content, question)
