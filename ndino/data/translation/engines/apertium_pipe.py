"""Run the programs of one Apertium pair so that no text affects the translation of another."""

from __future__ import annotations

import itertools
import os
import re
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

TAGGER = "apertium-tagger"
# The tagger's message, with -d, at a word whose set of readings was not in its training data.
NEW_KIND = re.compile(rb"Word '(.*)'\.")
# A word in the stream, with its surface form and its readings: ^run/run<n><sg>/run<vblex><inf>$
WORD = re.compile(rb"\^((?:\\.|[^\\/$])*)/((?:\\.|[^\\$])*)\$", re.DOTALL)
LEMMA = re.compile(rb"(?:\\.|[^\\<>/+])+(?=<)", re.DOTALL)


class ApertiumPipe:
    """The programs of the mode file ``path``.

    Most of them reset at the NUL after each text. The tagger does not: a word whose set of readings was not
    in its training data changes its model for all later texts. It reports such words, and each text that
    holds one gets a tagger process of its own; the other texts share one.
    """

    def __init__(self, path: Path) -> None:
        # -z: the programs reset at a NUL.
        script = _run(["apertium-wblank-mode", "-z", str(path)], b"").stdout.decode()
        self._programs = [program.strip() for program in script.split("|")]
        self._unseen: set[bytes] = set()

    def translate(self, texts: Sequence[bytes]) -> list[bytes]:
        """Send ``texts``, which are in Apertium's stream format, through all programs.

        Raises:
            subprocess.SubprocessError: a program fails, or the number of texts changes.
        """
        found = list(texts)
        taggers = [number for number, program in enumerate(self._programs) if program.startswith(TAGGER)]
        for first, last in itertools.pairwise([-1, *taggers, len(self._programs)]):
            if between := " | ".join(self._programs[first + 1 : last]):
                # $1 in the mode file is -n: do not mark unknown words.
                found, _ = _through(["bash", "-o", "pipefail", "-c", between, "bash", "-n"], found)
            if last < len(self._programs):
                words = shlex.split(self._programs[last])
                found = self._tag([word for word in words if not word.startswith("$")], found)
        return found

    def _tag(self, tagger: list[str], texts: list[bytes]) -> list[bytes]:
        while True:
            apart = {number for number, text in enumerate(texts) if self._unseen & _kinds(text).keys()}
            together = [text for number, text in enumerate(texts) if number not in apart]
            tagged, said = _through([*tagger, "-d"], together)
            named = set(NEW_KIND.findall(said))
            if not named:
                break
            new = {kind for text in together for kind, words in _kinds(text).items() if words & named}
            if not new - self._unseen:
                # A reported word is in none of the texts, so any text may have changed the model: tag all
                # apart.
                apart, tagged = set(range(len(texts))), []
                break
            self._unseen |= new
        others = iter(tagged)
        return [
            _through(tagger, [text])[0][0] if number in apart else next(others)
            for number, text in enumerate(texts)
        ]


def _kinds(text: bytes) -> dict[bytes, set[bytes]]:
    """The sets of readings in a text (without lemmas), each with its words."""
    kinds: dict[bytes, set[bytes]] = {}
    for word, readings in WORD.findall(text):
        kinds.setdefault(LEMMA.sub(b"", readings), set()).add(word)
    return kinds


def _through(command: list[str], texts: Sequence[bytes]) -> tuple[list[bytes], bytes]:
    if not texts:
        return [], b""
    done = _run(command, b"".join(text + b"\0" for text in texts))
    found = done.stdout.split(b"\0")
    # Some programs add NULs at the end.
    if len(found) <= len(texts) or any(found[len(texts) :]):
        raise subprocess.SubprocessError(f"{len(texts)} texts went in, {len(found) - 1} came out")
    return found[: len(texts)], done.stderr


def _run(command: list[str], stream: bytes) -> subprocess.CompletedProcess[bytes]:
    # Older versions take the encoding of their streams from the locale.
    environment = os.environ | {"LC_ALL": "C.UTF-8"}
    return subprocess.run(command, input=stream, capture_output=True, check=True, env=environment)
