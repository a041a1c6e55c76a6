"""A translator that translates the markers only."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from ndino.data.translation import Translation
from ndino.data.translation.rejection import TextChecks
from ndino.languages.language import language


def remark_only(line: str) -> str:
    """Translate the English markers to Italian."""
    english, italian = language("en"), language("it")
    for marker, words in english.markers.items():
        line = re.sub(rf"\b{words[0]}:", f"{italian.markers[marker][0]}:", line)
    return line


def remark(line: str) -> str:
    """Translate the English markers, and a yes or no after them, to Italian."""
    italian = language("it")
    line = remark_only(line)
    answer = italian.markers["answer"][0]
    line = re.sub(rf"{answer}: yes$", f"{answer}: {italian.yes[0]}", line)
    return re.sub(rf"{answer}: no$", f"{answer}: {italian.no[0]}", line)


class NoChecks(TextChecks):
    """Lets every text pass: this translator's texts would be rejected as not translated."""

    def rejection(self, source: str, target: str | None) -> str | None:
        return None


class Marked:
    """Translates a line by ``change`` and records it."""

    def __init__(self, change: Callable[[str], str] = remark) -> None:
        self.identity = "marked"
        self.asked: list[str] = []
        self._change = change

    def translate(self, texts: Sequence[str]) -> list[str]:
        self.asked += texts
        return [self._change(text) for text in texts]


def marked_translation(folder: Path, change: Callable[[str], str] = remark) -> Translation:
    return Translation(Marked(change), folder / "memory.sqlite", NoChecks())
