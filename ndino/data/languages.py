"""The words of a language that the data commands need: `languages.yaml`, one block a language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from ndino import tasks
from ndino.data.errors import DataError
from ndino.files import key_of

MARKERS = ("question", "options", "answer", "explanation")
# What the tasks of a language add to their questions stands with the tasks.
TASKS_PROMPTS = {"it": {"short_answer": tasks.SHORT_ANSWER, "letter_answer": tasks.LETTER_ANSWER}}


@dataclass(frozen=True)
class Language:
    """One block of the file; of several words the first is written and all are read.

    Attributes:
        markers: the words of question, options, answer and explanation.
        letter_answer: what follows lettered options, with the newline before it.
        explained_answer: what follows a question whose answer has a reason, with the markers of both in it.
        words: the whole block, for what only one command needs.
    """

    code: str
    name: str
    markers: Mapping[str, tuple[str, ...]]
    yes: tuple[str, ...]
    no: tuple[str, ...]
    letter_answer: str
    explained_answer: str
    words: Mapping[str, Any]

    @property
    def identity(self) -> str:
        """What rows depend on, for a command's settings."""
        return key_of(
            self.code, dict(self.markers), self.yes, self.no, self.letter_answer, self.explained_answer
        )


@cache
def language(code: str) -> Language:
    """The words of the language with this code (``it``).

    Raises:
        DataError: it has no block, or a part of it is missing.
    """
    blocks = _blocks()
    if code not in blocks:
        raise DataError(
            f"language {code!r}: not among {', '.join(sorted(blocks))} "
            "(remedy: add its block to ndino/data/languages.yaml)"
        )
    block = {**blocks[code], **TASKS_PROMPTS.get(code, {})}
    try:
        written = {marker: block["markers"][marker][0] for marker in MARKERS}
        return Language(
            code=code,
            name=block["name"],
            markers={marker: tuple(block["markers"][marker]) for marker in MARKERS},
            yes=tuple(block["yes"]),
            no=tuple(block["no"]),
            letter_answer=block["letter_answer"],
            explained_answer=block["explained_answer"].format_map(written),
            words=block,
        )
    except KeyError as error:
        raise DataError(
            f"language {code!r}: {error.args[0]} is missing (remedy: add it to ndino/data/languages.yaml)"
        ) from error


@cache
def _blocks() -> dict[str, dict[str, Any]]:
    return yaml.safe_load((files("ndino.data") / "languages.yaml").read_text(encoding="utf-8"))
