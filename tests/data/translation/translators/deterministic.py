"""A translator with predictable results; as a program, a run that dies in the middle.

    python -m tests.data.translation.translators.deterministic MEMORY LOG TEXTS [DIE_AT]

Translates the lines of TEXTS and writes each text that reaches the translator to LOG. With DIE_AT it kills
itself with SIGKILL in the call of that number.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from ndino.data.translation.rejection import TextChecks
from ndino.data.translation.translation import Translation

# Shifts letters and keeps numbers and punctuation, so that every check passes.
SHIFTED = str.maketrans("abcdefghijklmnopqrstuvwxyz", "nopqrstuvwxyzabcdefghijklm")


class Deterministic:
    """Shifts letters. A text with ``lost`` comes back empty, and so is rejected."""

    identity = "deterministic"

    def __init__(self, log: Path | None = None, die_at: int = 0) -> None:
        self.calls: list[list[str]] = []
        self._log, self._die_at = log, die_at

    def translate(self, texts: Sequence[str]) -> list[str]:
        self.calls.append(list(texts))
        if self._log:
            with self._log.open("a", encoding="utf-8") as log:
                log.writelines(f"{text}\n" for text in texts)
        if len(self.calls) == self._die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return ["" if "lost" in text else text.translate(SHIFTED) for text in texts]


def main() -> None:
    memory, log, texts, *die_at = sys.argv[1:]
    lines = Path(texts).read_text(encoding="utf-8").split("\n")
    translator = Deterministic(Path(log), *map(int, die_at))
    with Translation(translator, Path(memory), TextChecks(), batch_characters=200) as translation:
        print("\n".join(one.text or f"({one.reason})" for one in translation.translate(lines)))


if __name__ == "__main__":
    main()
