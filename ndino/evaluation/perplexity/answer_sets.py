"""Questions with given answers and images, read like a benchmark's (`ndino.formats.questions`)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path

from ndino.common.errors import UsageError, UserError, no_room, reason_of, with_remedy
from ndino.common.hub import hub_reason, may_be_on_hub
from ndino.common.images import UNREADABLE, ImageFaultError, image_digest, read_image
from ndino.common.options import need_folder
from ndino.evaluation.shuffle import exchange
from ndino.formats.prompts import IMAGE_TOKEN
from ndino.formats.questions.faults import asked, marker_fault, question_fault, text_fault
from ndino.formats.questions.layout import split_files
from ndino.formats.questions.rows import IMAGE
from ndino.formats.questions.table import Questions, questions_of, read_questions

EXAMPLE_ROW = '{"id": "7", "file_name": "bari.png", "question": "Dov\'è?", "answer": "A Bari."}'


class AnswerSetError(UserError):
    """Data that cannot be used at all; the message says what to change."""


@dataclass(frozen=True)
class AnswerItem:
    """One question with its answer and its image.

    Attributes:
        id: unique in its set.
        digest: of the encoded image; empty where there is a fault.
        image: reads the encoded image.
        fault: why this row cannot be scored; it is skipped with this reason. None for a good one.
        message: the same as ``FILE row N: reason (remedy: ...)``; empty for a good one.
    """

    id: str
    question: str
    answer: str
    digest: str
    image: Callable[[], bytes]
    fault: str | None = None
    message: str = ""

    @property
    def content(self) -> str:
        """Identity of question, answer and the encoded image shown, as 32 hexadecimal digits."""
        parts = json.dumps([self.question, self.answer, self.digest])
        return hashlib.sha256(parts.encode()).hexdigest()[:32]


def require_answers(data: str, *, images_dir: Path | None = None, split: str | None = None) -> None:
    """Check what can be checked of the arguments of `read_items` without reading any row.

    Raises:
        UsageError: no such data, split or folder of images.
    """
    path = Path(data)
    if not path.exists() and not may_be_on_hub(data):
        raise UsageError(f"{data}: no such data (remedy: name a .jsonl, a .parquet or a dataset's folder)")
    if path.is_dir():
        split_files(path, split)
    if images_dir is not None:
        need_folder(images_dir, "name the folder of the images")


def left_out(data: str, split: str | None = None) -> tuple[str, ...]:
    """What of a folder is not read, and why: a line each; raises like `require_answers`."""
    path = Path(data)
    return split_files(path, split).notes if path.is_dir() else ()


def read_items(
    data: str,
    *,
    images_dir: Path | None = None,
    split: str | None = None,
    question_field: str = "question",
    answer_field: str | None = None,
) -> list[AnswerItem]:
    """Read questions and answers. Images are decoded once, to name those that are damaged.

    Args:
        data: a file or folder in any layout of `ndino.formats.questions.layout`, or a dataset's hub id.
        images_dir: folder that the names of images start from, by default the data's own.
        split: which one, where a dataset has several.
        question_field: the column of questions.
        answer_field: by default ``gpt_answer`` where the data has it, else ``answer``.

    Raises:
        UsageError: no such data, split or column, or a folder of images for data that hold their own.
        QuestionsError: no rows, or files that cannot be read.
    """
    require_answers(data, images_dir=images_dir, split=split)
    found = (
        read_questions(Path(data), split, images_dir=images_dir) if Path(data).exists() else _hub(data, split)
    )
    if images_dir is not None and found.stores_images:
        raise UsageError(f"--images {images_dir}: {data} has images of its own (remedy: leave --images out)")
    columns = found.column_names
    if answer_field is None:
        answer_field = "gpt_answer" if "gpt_answer" in columns else "answer"
    if "conversations" in columns and question_field not in columns:
        raise UsageError(
            f"{data}: holds conversations to train on, not questions with answers (remedy: write a .jsonl "
            f"with rows such as {EXAMPLE_ROW})"
        )
    texts = ", ".join(sorted({*columns} - {IMAGE}))
    for field in (question_field, answer_field):
        if field not in columns:
            raise UsageError(
                f"{data}: no field {field} (remedy: --question-field or --answer-field with one of {texts})"
            )
    if IMAGE not in columns:
        raise AnswerSetError(
            f"{data}: no column image among {', '.join(columns)} (remedy: name the images' column image)"
        )
    seen: set[str] = set()
    whole: dict[str, tuple[str, str] | None] = {}
    items = []
    for row, number in enumerate(_numbers(found)):
        fields = found.rows[row].fields
        identity = next(
            (str(fields[key]) for key in ("id", "question_id") if fields.get(key) is not None), str(number)
        )
        # Sets with several questions per image repeat the image's id.
        unique = next(
            name for n in count(1) if (name := identity if n == 1 else f"{identity}#{n}") not in seen
        )
        seen.add(unique)
        items.append(_item(unique, found, row, (question_field, answer_field), whole))
    return items


def _numbers(found: Questions) -> list[int]:
    """Each row's number as messages name it, counted on from one file to the next."""
    numbers, before, last = [], 0, 0
    for index, row in enumerate(found.rows):
        if index and row.file != found.rows[index - 1].file:
            before += last
        last = row.number
        numbers.append(before + last)
    return numbers


def _hub(data: str, split: str | None) -> Questions:
    from datasets import Dataset, DatasetDict, config, load_dataset
    from datasets.exceptions import DatasetsError

    try:
        found: Dataset | DatasetDict = load_dataset(data)
    except (OSError, ValueError, RuntimeError, DatasetsError) as error:
        if not no_room(error):
            raise UsageError(
                f"{data}: no such data, nor on the hub: {hub_reason(error)} "
                "(remedy: fetch it where there is a network, and name its folder)"
            ) from error
        remedy = f"make room on that disk, where {config.HF_DATASETS_CACHE} lies, or set HF_DATASETS_CACHE"
        raise AnswerSetError(
            f"{data}: cannot be read as a dataset: {reason_of(error)} (remedy: {remedy})"
        ) from error
    if isinstance(found, DatasetDict):
        names = ", ".join(map(str, found))
        if split is None and len(found) > 1:
            raise UsageError(f"{data}: has several splits (remedy: choose one with --split: {names})")
        if split is not None and split not in found:
            raise UsageError(f"{data}: has no split {split} (remedy: one of {names})")
        found = found[split or next(iter(found))]
    return questions_of(found, data, Path())


def _item(
    identity: str,
    found: Questions,
    row: int,
    names: tuple[str, str],
    whole: dict[str, tuple[str, str] | None],
) -> AnswerItem:
    """``whole`` remembers, by digest, what is wrong with an image: many questions may show it."""
    fields = found.rows[row].fields
    question, answer = fields.get(names[0]), fields.get(names[1])
    broken, digest = found.rows[row].fault, ""
    fault = (broken, "repair or remove the row") if broken else None
    fault = fault or question_fault(question, names[0]) or text_fault(answer, names[1])
    if fault is None and (marked := marker_fault(str(answer), [IMAGE_TOKEN], names[1])) is not None:
        fault = marked, "take it out"
    if fault is None:
        try:
            encoded = found.encoded_image(row)
            digest = image_digest(encoded)
            if digest not in whole:
                whole[digest] = _image_fault(encoded)
            fault = whole[digest]
        except ImageFaultError as error:
            fault = error.reason, error.remedy
        # What comes before the first colon is the kind, by which skipped rows are counted.
        if fault is not None and not fault[0].startswith(UNREADABLE):
            fault = f"{UNREADABLE}: {fault[0]}", fault[1]
    return AnswerItem(
        identity,
        asked(str(question)),
        str(answer),
        digest if fault is None else "",
        partial(found.encoded_image, row),
        fault and f"{fault[0]}: {found.where(row)}",
        f"{found.where(row)}: {with_remedy(*fault)}" if fault else "",
    )


def _image_fault(encoded: bytes) -> tuple[str, str] | None:
    try:
        read_image(encoded)
    except ImageFaultError as error:
        return error.reason, error.remedy
    return None


def exchange_images(items: Sequence[AnswerItem]) -> list[AnswerItem]:
    """The shuffled-image control: every item gets another item's image.

    Raises:
        AnswerSetError: fewer than two different images.
    """
    holders = {item.digest: item for item in items if item.fault is None}
    try:
        given = exchange({digest: item.image for digest, item in holders.items()})
    except UserError as error:
        raise AnswerSetError(f"the answers show {error}") from error

    def exchanged(item: AnswerItem) -> AnswerItem:
        other = given[item.digest]
        return replace(item, digest=other, image=holders[other].image)

    return [item if item.fault else exchanged(item) for item in items]
