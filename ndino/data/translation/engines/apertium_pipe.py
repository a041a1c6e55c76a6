"""The programs of one Apertium pair, so run that a text's translation does not depend on its neighbours."""

from __future__ import annotations

import itertools
import os
import re
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

TAGGER = "apertium-tagger"
# What the tagger says with -d when it meets a kind of word that it was not trained on.
NEW_KIND = re.compile(rb"Word '(.*)'\.")
# A word in its stream: as it stands in the text, and what it may be: ^run/run<n><sg>/run<vblex><inf>$
WORD = re.compile(rb"\^((?:\\.|[^\\/$])*)/((?:\\.|[^\\$])*)\$", re.DOTALL)
LEMMA = re.compile(rb"(?:\\.|[^\\<>/+])+(?=<)", re.DOTALL)


class ApertiumPipe:
    """The mode file ``path`` as programs.

    Most of them start afresh at the NUL that ends a text. The tagger does not: at a kind of word that it was
    not trained on (a set of readings) it changes its model for good. It says so, and texts with such a word
    get a tagger each; the others go through one together.
    """

    def __init__(self, path: Path) -> None:
        # -z: the programs start afresh at a NUL.
        script = _run(["apertium-wblank-mode", "-z", str(path)], b"").stdout.decode()
        self._programs = [program.strip() for program in script.split("|")]
        self._unseen: set[bytes] = set()

    def translate(self, texts: Sequence[bytes]) -> list[bytes]:
        """What the programs make of ``texts``, which are in Apertium's stream format.

        Raises subprocess.SubprocessError where a program fails or the number of texts changes.
        """
        found = list(texts)
        taggers = [number for number, program in enumerate(self._programs) if program.startswith(TAGGER)]
        for first, last in itertools.pairwise([-1, *taggers, len(self._programs)]):
            if between := " | ".join(self._programs[first + 1 : last]):
                # $1, -n: no marks on unknown words.
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
                # A word that is not found again; then no text can be trusted with another.
                apart, tagged = set(range(len(texts))), []
                break
            self._unseen |= new
        others = iter(tagged)
        return [
            _through(tagger, [text])[0][0] if number in apart else next(others)
            for number, text in enumerate(texts)
        ]


def _kinds(text: bytes) -> dict[bytes, set[bytes]]:
    """The kinds of word in a text, each with its words: readings without their lemmas."""
    kinds: dict[bytes, set[bytes]] = {}
    for word, readings in WORD.findall(text):
        kinds.setdefault(LEMMA.sub(b"", readings), set()).add(word)
    return kinds


def _through(command: list[str], texts: Sequence[bytes]) -> tuple[list[bytes], bytes]:
    if not texts:
        return [], b""
    done = _run(command, b"".join(text + b"\0" for text in texts))
    found = done.stdout.split(b"\0")
    # The programs add some NULs of their own at the end.
    if len(found) <= len(texts) or any(found[len(texts) :]):
        raise subprocess.SubprocessError(f"{len(texts)} texts went in, {len(found) - 1} came out")
    return found[: len(texts)], done.stderr


def _run(command: list[str], stream: bytes) -> subprocess.CompletedProcess[bytes]:
    # Older versions read the encoding of their streams from the locale.
    environment = os.environ | {"LC_ALL": "C.UTF-8"}
    return subprocess.run(command, input=stream, capture_output=True, check=True, env=environment)
