"""A translator that changes the markers to those of the other language and leaves every other word."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from ndino.data.translation import Translation
from ndino.data.translation.guards import Guards
from ndino.languages.language import language


def remark(line: str) -> str:
    """English markers, and a yes or no behind them, in Italian."""
    english, italian = language("en"), language("it")
    for marker, words in english.markers.items():
        line = re.sub(rf"\b{words[0]}:", f"{italian.markers[marker][0]}:", line)
    answer = italian.markers["answer"][0]
    line = re.sub(rf"{answer}: yes$", f"{answer}: {italian.yes[0]}", line)
    return re.sub(rf"{answer}: no$", f"{answer}: {italian.no[0]}", line)


class Anything(Guards):
    """Guards that let everything pass: what is not translated here would be refused as copied."""

    def fault(self, source: str, target: str) -> str | None:
        return None


class Marked:
    """A translator; ``change`` is what it makes of a line."""

    def __init__(self, change: Callable[[str], str] = remark) -> None:
        self.identity = "marked"
        self.asked: list[str] = []
        self._change = change

    def translate(self, texts: Sequence[str]) -> list[str]:
        self.asked += texts
        return [self._change(text) for text in texts]


def marked_translation(folder: Path, change: Callable[[str], str] = remark) -> Translation:
    return Translation(Marked(change), folder / "memory.sqlite", Anything())
