"""Translate with Apertium: rule-based, from Debian packages, offline and fast; readable, with errors.

For tests, the miniature and languages that no model covers. Not for real training data.
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
from ndino.data.translation.placeholders import PLACEHOLDER, label_spans

# Apertium's stream format: these characters are markup unless a backslash precedes them.
MARKUP = re.compile(r"([\[\]{}^$/\\@<>])")
ESCAPED = re.compile(r"\\(.)", re.DOTALL)
# Passed through unchanged: placeholders, and the tilde, which Apertium's last step would remove.
UNTOUCHED = re.compile(f"{PLACEHOLDER.pattern}|~")
# Like Apertium's own reader of plain text, add a full stop to every text, so that the last word is read as
# the end of a sentence, and an empty blank that marks it. Unlike that reader, put a space before them:
# without one, a final "no" is read as "No.", the abbreviation of number.
END = " .[]"


class Apertium:
    """Translates with a direct language pair, or with two pairs over one language in between.

    ``source`` and ``target`` are Apertium's codes (mostly ISO 639-3), looked up among the installed pairs.
    ``labels`` is what `placeholders.labels_pattern` made of the source language's words: these pass through
    like placeholders. Each text is translated independently of the others, see `ApertiumPipe`.

    Raises:
        DataError: the program or a pair is not installed.
    """

    def __init__(self, source: str, target: str, labels: re.Pattern[str] | None = None) -> None:
        if shutil.which("apertium") is None:
            raise DataError(f"apertium is not installed (remedy: {_remedy(source, target)})")
        self.modes = _route(source, target)
        # Some pairs use a constraint grammar, whose program their packages do not ask for.
        grammar = any("cg-proc" in _path(mode).read_text(encoding="utf-8") for mode in self.modes)
        if grammar and shutil.which("cg-proc") is None:
            raise DataError(
                f"apertium: {' and '.join(self.modes)} needs cg-proc, which is not installed "
                "(remedy: apt-get install cg3)"
            )
        self._labels = labels
        self._pipes: dict[str, ApertiumPipe] = {}
        version = subprocess.run(["apertium", "-V"], capture_output=True, text=True).stdout.strip()
        data = [sha256_of(path) for mode in self.modes for path in _files_of(mode)]
        kept = [UNTOUCHED.pattern, labels.pattern if labels else ""]
        self.identity = f"{version}, {' and '.join(self.modes)}, {key_of(END, *kept, *data)}"

    def translate(self, texts: Sequence[str]) -> list[str]:
        """Translations in order; an empty string for a text that crashes the pipe.

        Raises:
            DataError: the pipe crashes on a plain text too.
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
                f"apertium fails: {said} (remedy: apt-get install --reinstall apertium {packages})"
            ) from error

    def _through(self, texts: Sequence[str]) -> list[str]:
        found = [f"{_escape(text, self._labels)}{END}".encode(errors="replace") for text in texts]
        for mode in self.modes:
            pipe = self._pipes.get(mode) or self._pipes.setdefault(mode, ApertiumPipe(_path(mode)))
            found = pipe.translate(found)
        return [_unescape(line.decode(errors="replace")) for line in found]


def _escape(text: str, labels: re.Pattern[str] | None) -> str:
    """``text`` in Apertium's format; in brackets are blanks, which it does not translate."""
    text = text.replace("\0", " ")
    pieces, end = [], 0
    for start, its_end in sorted(
        {found.span() for found in UNTOUCHED.finditer(text)} | {*label_spans(text, labels)}
    ):
        if start >= end:
            pieces += [_escaped(text[end:start]), f"[{_escaped(text[start:its_end])}]"]
            end = its_end
    return "".join([*pieces, _escaped(text[end:])])


def _escaped(text: str) -> str:
    return MARKUP.sub(r"\\\1", text)


def _unescape(line: str) -> str:
    if line.endswith(END):
        line = line.removesuffix(END)
    # The unescaped brackets that are left are the borders of blanks.
    return "".join(
        ESCAPED.sub(r"\1", piece) if piece.startswith("\\") else piece.replace("[", "").replace("]", "")
        for piece in re.split(r"(\\.)", line, flags=re.DOTALL)
    )


def _modes() -> Path:
    return Path(os.environ.get("APERTIUM_DATADIR", "/usr/share/apertium")) / "modes"


def _path(mode: str) -> Path:
    return _modes() / f"{mode}.mode"


def _route(source: str, target: str) -> tuple[str, ...]:
    pairs = {tuple(path.stem.split("-", 1)) for path in _modes().glob("*-*.mode")}
    if (source, target) in pairs:
        return (f"{source}-{target}",)
    between = sorted(pivot for start, pivot in pairs if start == source and (pivot, target) in pairs)
    if not between:
        installed = ", ".join(sorted("-".join(pair) for pair in pairs)) or "none"
        raise DataError(
            f"apertium has no pair from {source} to {target}, direct or over one language in between; "
            f"installed: {installed} (remedy: {_remedy(source, target)})"
        )
    return f"{source}-{between[0]}", f"{between[0]}-{target}"


def _files_of(mode: str) -> Iterator[Path]:
    """The mode file, and the data files that it names in quotes."""
    path = _path(mode)
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
