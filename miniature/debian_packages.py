"""Print the Debian packages that the data demo needs for a language: a Tesseract pack, Apertium's pairs.

python -m miniature.debian_packages es      apertium-eng-spa tesseract-ocr-spa
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterable

from ndino.languages.known.tool_codes import known_code, tesseract_package

PREFIX = "apertium-"
# In names of packages, besides the three letters of newer pairs.
ENGLISH = ("eng", "en")
# Where there is no pair from English, the way leads over a language in between, best over the largest.
BETWEEN = "spa"


def packages_of(lang: str, known: Iterable[str]) -> list[str]:
    """The packages for the language with this code, of those that Debian has (``known``)."""
    known = {*known}
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
    pack = tesseract_package(known_code("tesseract", lang))
    return [*found, *([pack] if pack in known else [])]


def _pair(pairs: dict[tuple[str, ...], str], ones: Iterable[str], others: Iterable[str]) -> list[str]:
    """The package of a pair between two languages, each under one of its codes."""
    either = [pair for one in ones for other in others for pair in ((one, other), (other, one))]
    return [pairs[pair] for pair in either if pair in pairs][:1]


def main(arguments: list[str]) -> int:
    if shutil.which("apt-cache") is not None:
        said = subprocess.run(["apt-cache", "pkgnames"], capture_output=True, text=True, check=False).stdout
        print(*packages_of(arguments[0], said.split()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
