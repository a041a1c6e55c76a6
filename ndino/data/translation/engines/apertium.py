"""Apertium: rule-based translation from Debian packages, offline and quick; readable, with errors.

For tests, the miniature and languages that no model serves. Not for training data that matters.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from ndino.common.files import key_of, sha256_of
from ndino.data.errors import DataError
from ndino.data.translation.engines.apertium_pipe import ApertiumPipe
from ndino.data.translation.placeholders import PLACEHOLDER

# Apertium's stream format: these characters are markup unless a backslash stands before them.
MARKUP = re.compile(r"([\[\]{}^$/\\@<>])")
ESCAPED = re.compile(r"\\(.)", re.DOTALL)
# What passes through untouched: placeholders, and the tilde, which would vanish in the last step.
UNTOUCHED = re.compile(f"({PLACEHOLDER.pattern}|~)")
# As Apertium's own reader of plain text does, a full stop goes behind every text, so that the last word is
# read as the end of a sentence, and an empty mark by which it is found again. Its reader leaves no space
# before them, and "no" becomes "No.", the short form of number.
END = " .[]"


class Apertium:
    """English to Italian and the like, by a direct pair or by way of one language between.

    ``source`` and ``target`` are Apertium's codes (ISO 639-3 mostly), looked up among the installed pairs.
    Every text goes through the pipe on its own: in one stream a text's translation would depend on its
    neighbours. Most programs of the pipe start afresh at a NUL; the tagger does not when it met a kind of
    word that it was not trained on, and is then started anew. Raises DataError where the program, or a pair,
    is missing.
    """

    def __init__(self, source: str, target: str) -> None:
        if shutil.which("apertium") is None:
            raise DataError(f"apertium is not installed (remedy: {_remedy(source, target)})")
        self.modes = _route(source, target)
        self._pipes: dict[str, ApertiumPipe] = {}
        version = subprocess.run(["apertium", "-V"], capture_output=True, text=True).stdout.strip()
        data = [sha256_of(path) for mode in self.modes for path in _files_of(mode)]
        self.identity = f"{version}, {' and '.join(self.modes)}, {key_of(END, *data)}"

    def translate(self, texts: Sequence[str]) -> list[str]:
        """Translations in order; the empty string for a text that breaks the pipe.

        Raises DataError where the pipe breaks on a plain text too.
        """
        try:
            return self._through(texts)
        except subprocess.SubprocessError as error:
            if len(texts) > 1:
                middle = len(texts) // 2
                return [*self.translate(texts[:middle]), *self.translate(texts[middle:])]
            if texts and texts[0] != "a":
                self.translate(["a"])
                return [""]
            said = (getattr(error, "stderr", None) or b"").decode(errors="replace").split("\n")
            said = next((line.strip() for line in reversed(said) if line.strip()), str(error))
            packages = " ".join(f"apertium-{mode}" for mode in self.modes)
            raise DataError(
                f"apertium breaks off: {said} (remedy: apt-get install --reinstall apertium {packages})"
            ) from error

    def _through(self, texts: Sequence[str]) -> list[str]:
        found = [f"{_escape(text)}{END}".encode(errors="replace") for text in texts]
        for mode in self.modes:
            pipe = self._pipes.get(mode) or self._pipes.setdefault(
                mode, ApertiumPipe(_modes() / f"{mode}.mode")
            )
            found = pipe.translate(found)
        return [_unescape(line.decode(errors="replace")) for line in found]


def _escape(text: str) -> str:
    pieces = UNTOUCHED.split(text.replace("\0", " "))
    # split() puts what matched at the odd places; brackets make it a blank with content.
    escaped = [MARKUP.sub(r"\\\1", piece) for piece in pieces]
    return "".join(f"[{piece}]" if number % 2 else piece for number, piece in enumerate(escaped))


def _unescape(line: str) -> str:
    if line.endswith(END):
        line = line.removesuffix(END)
    # What is left of unescaped brackets are the borders of blanks.
    return "".join(
        ESCAPED.sub(r"\1", piece) if piece.startswith("\\") else piece.replace("[", "").replace("]", "")
        for piece in re.split(r"(\\.)", line, flags=re.DOTALL)
    )


def _modes() -> Path:
    return Path(os.environ.get("APERTIUM_DATADIR", "/usr/share/apertium")) / "modes"


def _route(source: str, target: str) -> tuple[str, ...]:
    pairs = {tuple(path.stem.split("-", 1)) for path in _modes().glob("*-*.mode")}
    if (source, target) in pairs:
        return (f"{source}-{target}",)
    between = sorted(pivot for start, pivot in pairs if start == source and (pivot, target) in pairs)
    if not between:
        installed = ", ".join(sorted("-".join(pair) for pair in pairs)) or "none"
        raise DataError(
            f"apertium has no way from {source} to {target}, direct or by one language between "
            f"(installed pairs: {installed}; remedy: {_remedy(source, target)})"
        )
    return f"{source}-{between[0]}", f"{between[0]}-{target}"


def _files_of(mode: str) -> Iterator[Path]:
    """The mode file and the data that it names in quotes."""
    path = _modes() / f"{mode}.mode"
    yield path
    for name in re.findall(r"'([^']+)'", path.read_text(encoding="utf-8")):
        if Path(name).is_file():
            yield Path(name)


def _remedy(source: str, target: str) -> str:
    if (source, target) == ("eng", "ita"):
        return "apt-get install apertium apertium-eng-spa apertium-spa-ita"
    return (
        f"apt-get install apertium and the packages of pairs that lead from {source} to {target} "
        "(apt-cache search '^apertium-' lists them)"
    )
