"""Which texts can be asked and scored: the same rules for every command, with the words of their messages."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Any

from ndino.common.errors import shown
from ndino.formats.prompts import IMAGE_TOKEN

# JSON can escape it, but neither tokenizers nor UTF-8 files can hold it.
_HALF_A_PAIR = re.compile("[\\ud800-\\udfff]")
FILL_IN = "fill it in or remove the row"
QUOTES = "put numbers in quotes"
LIST = "write a list of texts, each in quotes"
# Format characters such as the zero-width space, spaces, and control characters.
_INVISIBLE = {"Cf", "Zs", "Cc"}


def is_blank(text: str) -> bool:
    """Whether a text has no visible character: empty, or only spaces and zero-width characters."""
    return all(char.isspace() or unicodedata.category(char) in _INVISIBLE for char in text)


def text_fault(value: Any, field: str) -> tuple[str, str] | None:
    """What is wrong with a field that must be a text, and the remedy; None for a good one."""
    if not isinstance(value, str):
        return f"{field} is {shown(repr(value))}, not a text", QUOTES if value is not None else FILL_IN
    if is_blank(value):
        return f"{field} is empty: {value!r:.80}", FILL_IN
    if _HALF_A_PAIR.search(value):
        return f"{field} is no Unicode: it holds half of a surrogate pair", "write the text as UTF-8"
    return None


def asked(question: str) -> str:
    """A question about one image without the ``<image>`` at its start or end.

    It says where the image goes. The image comes first in any case, as in training, so that the prompt is the
    same with and without it.
    """
    stripped = question.strip()
    at_an_end = stripped.startswith(IMAGE_TOKEN) or stripped.endswith(IMAGE_TOKEN)
    if question.count(IMAGE_TOKEN) != 1 or not at_an_end:
        return question
    return stripped.replace(IMAGE_TOKEN, "").strip()


def question_fault(value: Any, field: str) -> tuple[str, str] | None:
    """What is wrong with a question about one image, and the remedy; None for one that `asked` can ask."""
    if not isinstance(value, str):
        return text_fault(value, field)
    text = asked(value)
    if (found := value.count(IMAGE_TOKEN)) > 1:
        return f"{field} holds {found} {IMAGE_TOKEN} for one image", "keep one, at its start"
    if IMAGE_TOKEN in text:
        return f"{field} holds {IMAGE_TOKEN} inside its text", "put it at the start or leave it out"
    return text_fault(text, field)


def texts_fault(value: Any, field: str) -> tuple[str, str] | None:
    """What is wrong with a field that must be a list of texts, none of them empty, and the remedy."""
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        return f"{field} is {shown(repr(value))}, not a list of texts", LIST if value is not None else FILL_IN
    if not value or any(map(is_blank, value)):
        return f"{field} is empty: {shown(repr(value))}", FILL_IN
    return next((fault for text in value if (fault := text_fault(text, field)) is not None), None)


def marker_fault(text: str, markers: Iterable[str], field: str) -> str | None:
    """Whether a text holds a control token of a model, which would end its turn or begin another."""
    found = next((marker for marker in markers if marker in text), None)
    return None if found is None else f"{field} holds the control token {found}"
