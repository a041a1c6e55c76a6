"""The words of a language that the data commands need: `languages.yaml`, one block a language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from ndino.data.errors import DataError
from ndino.files import key_of

MARKERS = ("question", "options", "answer", "explanation")


@dataclass(frozen=True)
class Language:
    """One block of the file; of several words the first is written and all are read.

    Attributes:
        markers: the words of question, options, answer and explanation.
        instructions: English sentences of the sources to what they are in this language.
        words: the whole block, for what only one command needs.
    """

    code: str
    name: str
    markers: Mapping[str, tuple[str, ...]]
    yes: tuple[str, ...]
    no: tuple[str, ...]
    instructions: Mapping[str, str]
    words: Mapping[str, Any]

    @property
    def identity(self) -> str:
        """What rows depend on, for a command's settings."""
        return key_of(self.code, dict(self.markers), self.yes, self.no, dict(self.instructions))


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
    block = blocks[code]
    try:
        return Language(
            code=code,
            name=block["name"],
            markers={marker: tuple(block["markers"][marker]) for marker in MARKERS},
            yes=tuple(block["yes"]),
            no=tuple(block["no"]),
            instructions=block.get("instructions", {}),
            words=block,
        )
    except KeyError as error:
        raise DataError(
            f"language {code!r}: {error.args[0]} is missing (remedy: add it to ndino/data/languages.yaml)"
        ) from error


@cache
def known_instructions() -> frozenset[str]:
    """Every English instruction that some language lists."""
    return frozenset(sentence for block in _blocks().values() for sentence in block.get("instructions", {}))


@cache
def _blocks() -> dict[str, dict[str, Any]]:
    return yaml.safe_load((files("ndino.data") / "languages.yaml").read_text(encoding="utf-8"))
