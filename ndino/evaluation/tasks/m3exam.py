"""M3Exam: questions of national exams with their images, which may also stand in the options."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ndino.common.images import ImageFaultError, read_image
from ndino.evaluation.tasks.framework.image_sheet import sheet_of
from ndino.evaluation.tasks.framework.multiple_choice import (
    LETTERS,
    LetteredQuestion,
    MultipleChoice,
    letter_of,
    with_context,
)
from ndino.evaluation.tasks.framework.preparation import without_rows
from ndino.formats.questions.images import encoded
from ndino.formats.questions.rows import IMAGE, Row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ndino.formats.questions.table import Questions

# Where an image stands in a text: (image)[image-12.jpg].
_PLACE = re.compile(r"\(image\)\[([^\]]*)\]")
# The letter that the data write before an option: "(A) 24", "A. 24", "A) 24".
_LETTER = re.compile(r"\s*\(?([A-Z])[).:]\s*(.*)", re.DOTALL)


class M3Exam(MultipleChoice):
    """Several images of a question are shown on one numbered sheet, and the texts name them by number."""

    SOURCE = "floschne/multimodal-m3exam"
    COLUMNS = (
        "question_text", "background_description", "options", "answer_text", "image_ids", "images",
    )  # fmt: skip

    def usable_rows(self, found: Questions) -> Questions:
        """The rows that have images, each with one ``image`` in place of its ``images``."""
        bare = [row for row, each in enumerate(found.rows) if not (each.fault or each.fields.get("images"))]
        found = without_rows(found, [(row, "left out: it has no image") for row in bare])
        return replace(found, rows=tuple(_with_one_image(row, found.image_folders) for row in found.rows))

    def choice(self, fields: Mapping[str, Any]) -> LetteredQuestion:
        names = _texts(fields, "image_ids")
        background, options = _texts(fields, "background_description"), _texts(fields, "options")
        if not isinstance(question := fields["question_text"], str):
            raise ValueError(f"question_text is {question!r:.80}, not a text")
        return LetteredQuestion(
            with_context(_numbered(question, names), *(_numbered(text, names) for text in background)),
            tuple(_numbered(text, names) for text in _without_letters(options)),
            letter_of(fields["answer_text"]),
        )


def _with_one_image(row: Row, folders: Sequence[Path]) -> Row:
    if row.fault is not None:
        return row
    fields = dict(row.fields)
    shown = fields.pop("images")
    if not isinstance(shown, list):
        return replace(row, fields={}, fault=f"images is {shown!r:.80}, not a list")
    ids = fields.get("image_ids")
    if not isinstance(ids, list) or len(ids) != len(shown):
        return replace(
            row, fields={}, fault=f"image_ids is {ids!r:.80}, not a name for each of {len(shown)} images"
        )
    if len(shown) == 1:
        return replace(row, fields={**fields, IMAGE: shown[0]})
    images = []
    for number, value in enumerate(shown, 1):
        try:
            images.append(read_image(encoded(value, folders)))
        except ImageFaultError as error:
            return replace(row, fields={}, fault=f"image {number} of {len(shown)}: {error.reason}")
    return replace(row, fields={**fields, IMAGE: {"bytes": sheet_of(images), "path": None}})


def _texts(fields: Mapping[str, Any], column: str) -> list[str]:
    found = fields[column]
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise ValueError(f"{column} is {found!r:.80}, not a list of texts")
    return found


def _numbered(text: str, names: Sequence[str]) -> str:
    """A text with the number of each image in place of its name; without it where there is no other image."""

    def number(place: re.Match[str]) -> str:
        if place[1] not in names:
            raise ValueError(f"image {place[1]!r:.80} is none of image_ids")
        return f"[{names.index(place[1]) + 1}]"

    numbered = _PLACE.sub(number, text).strip()
    # An option that is nothing but the only image still needs a text.
    alone = _PLACE.sub("", text).strip()
    return alone if len(names) == 1 and alone else numbered


def _without_letters(options: Sequence[str]) -> list[str]:
    """The options without their letters, if each has the one of its place."""
    found = [_LETTER.fullmatch(option) for option in options]
    lettered = zip(found, LETTERS, strict=False)
    if all(match and match[1] == letter for match, letter in lettered):
        return [match[2] for match in found if match]
    return [*options]
