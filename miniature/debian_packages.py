"""Print the Debian packages that the data demo needs for a language: a Tesseract pack, Apertium's pairs.

python -m miniature.debian_packages es      apertium-eng-spa tesseract-ocr-spa
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from ndino.languages.known.tool_codes import known_code, tesseract_package
from ndino.languages.language import LanguageError
from ndino.languages.lexicon import stamp_words

LISTS = Path("/var/lib/apt/lists")
PREFIX = "apertium-"
# In names of packages, besides the three letters of newer pairs.
ENGLISH = ("eng", "en")
# Where there is no pair from English, the way leads over a language in between, best over the largest.
BETWEEN = "spa"


def packages_of(lang: str, known: Iterable[str]) -> list[str]:
    """The packages for the language with this code, of those that Debian has (``known``)."""
    known = {*known}
    pack = tesseract_package(known_code("tesseract", lang))
    return [*translating(lang, known), *([pack] if pack in known else [])]


def translating(lang: str, known: Iterable[str]) -> list[str]:
    """Those of them with which Apertium translates from English; empty if there are none."""
    pairs = {tuple(name.removeprefix(PREFIX).split("-")): name for name in known if name.startswith(PREFIX)}
    ours = (known_code("apertium", lang), lang)
    found = _pair(pairs, ENGLISH, ours)
    if not found:
        between = {code for pair in pairs if len(pair) == 2 for code in pair} - {*ENGLISH, *ours}
        for code in sorted(between, key=lambda code: (code != BETWEEN, code)):
            both = _pair(pairs, ENGLISH, (code,)), _pair(pairs, (code,), ours)
            if all(both):
                found = [*both[0], *both[1]]
                break
    return found


def _pair(pairs: dict[tuple[str, ...], str], ones: Iterable[str], others: Iterable[str]) -> list[str]:
    """The package of a pair between two languages, each under one of its codes."""
    either = [pair for one in ones for other in others for pair in ((one, other), (other, one))]
    return [pairs[pair] for pair in either if pair in pairs][:1]


def known_packages() -> list[str] | None:
    """The names of all that Debian has; None where that is not known, as before the first apt-get update."""
    if shutil.which("apt-cache") is None or not any(LISTS.glob("*Packages*")):
        return None
    said = subprocess.run(["apt-cache", "pkgnames"], capture_output=True, text=True, check=False).stdout
    return said.split()


def main(arguments: list[str]) -> int:
    (lang,) = arguments
    try:
        # Before anything is installed for a demo that cannot be.
        stamp_words(lang)
    except LanguageError as error:
        print(f"data demo: {error}", file=sys.stderr)
        return 2
    print(*packages_of(lang, known_packages() or ()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
