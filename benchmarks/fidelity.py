"""Of how many real sentences is the language told, by their length, and how often wrongly?

    python -m benchmarks.fidelity [STAMPS [LOCALES]]

Sentences that come with Debian, in four languages that are easily confused or that models fall back to:

- captions of Tux Paint's stamps: the text files below STAMPS (downloaded from Debian, if not given);
- labels and messages of programs: the gettext catalogues in LOCALES/CODE/LC_MESSAGES (default:
  /usr/share/locale); the English ones are the sources of the Italian ones.

Each is judged as an answer to a task in its own language is, and the English ones as answers in Italian
(`ndino.languages.identify.language_of`), whatever its length. Letters are counted without names and numbers.
Texts that are the same in English are left out of the other languages. Prints a Markdown table; the last line
is JSON. Its ratio is the share told rightly, of the texts long enough to be judged whose language is told;
``texts`` has, by language and least letters, how many are told rightly, wrongly and not at all.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import sys
from collections import Counter
from pathlib import Path

from benchmarks.bench.result import print_result
from benchmarks.guard_faults.human import messages
from miniature.worlds.stamp_files import find_stamps
from ndino.common.markdown import table
from ndino.languages.identify import LEAST_LETTERS, language_of, prose

LANGUAGES = {"it": "it", "es": "es", "ca": "ca", "en": "it"}  # and what the task's is
BOUNDS = (1, 8, 16, 25, 40, 60, 100)  # letters
GOAL = 0.99


def captions(folder: Path, language: str) -> set[str]:
    """The captions of stamps in a language: the first line in English, else that of ``it.utf8``."""
    found = set()
    for path in sorted(folder.rglob("*.txt")):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        prefix = f"{language}.utf8="
        given = [line.removeprefix(prefix) for line in lines if line.startswith(prefix)]
        found |= {text.strip() for text in (lines[:1] if language == "en" else given)}
    return found


def sentences(stamps: Path, locales: Path, language: str) -> set[str]:
    """All texts in a language."""
    found = captions(stamps, language)
    for catalogue in sorted((locales / LANGUAGES[language] / "LC_MESSAGES").glob("*.mo")):
        with contextlib.suppress(UnicodeDecodeError):  # a few old ones are not UTF-8
            pairs = messages(catalogue)
            found |= {*(pairs if language == "en" else pairs.values())}
    return found


def judged(texts: set[str], language: str) -> dict[int, Counter[str]]:
    """By the least letters of its range: how many texts are told rightly, wrongly or not at all."""
    counts: dict[int, Counter[str]] = {bound: Counter() for bound in BOUNDS}
    for text in texts:
        letters = sum(map(str.isalpha, prose(text)))
        if letters:
            told = language_of(text, LANGUAGES[language], least=1)
            verdict = "undecided" if told is None else "right" if told == language else "wrong"
            counts[max(bound for bound in BOUNDS if bound <= letters)][verdict] += 1
    return counts


def main() -> int:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stamps", type=Path, nargs="?", metavar="STAMPS")
    parser.add_argument("locales", type=Path, nargs="?", default="/usr/share/locale", metavar="LOCALES")
    options = parser.parse_args()
    stamps = options.stamps or find_stamps(say=functools.partial(print, file=sys.stderr))
    texts = {language: sentences(stamps, options.locales, language) for language in LANGUAGES}
    others = {language: its - texts["en"] for language, its in texts.items() if language != "en"}
    found = {language: judged(its, language) for language, its in {**others, "en": texts["en"]}.items()}
    rows = []
    for language, counts in found.items():
        for bound, counted in counts.items():
            decided = counted["right"] + counted["wrong"]
            rows.append(
                [
                    language,
                    f"from {bound}",
                    f"{counted.total():,}",
                    f"{decided / max(counted.total(), 1):.1%}",
                    f"{counted['wrong']:,}",
                ]
            )
    print("\n".join(table(("language", "letters", "texts", "told", "of these wrong"), rows)))
    # Shorter answers are not judged.
    judged_counts = [counts[bound] for counts in found.values() for bound in BOUNDS if bound >= LEAST_LETTERS]
    right, wrong = (sum(counted[verdict] for counted in judged_counts) for verdict in ("right", "wrong"))
    ratio = right / max(right + wrong, 1)
    print_result(
        "fidelity",
        ratio=round(ratio, 5),
        goal=GOAL,
        equal=ratio >= GOAL,
        conditions={
            "measure": f"share told rightly, from {LEAST_LETTERS} letters",
            "told": right + wrong,
            "wrong": wrong,
        },
        packages=("py3langid",),
        more={"texts": found},
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
