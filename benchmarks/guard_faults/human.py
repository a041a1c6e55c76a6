"""How many human translations do the guards refuse, and how many faults planted in them do they find?

    python -m benchmarks.guard_faults.human FOLDER FILE.mo ...

Two kinds of translations from English to Italian that come with Debian and were written by people who knew
nothing of these guards:

- captions of Tux Paint's stamps: the text files below FOLDER, unpacked from the package
  tuxpaint-stamps-default;
- labels and messages of programs: gettext catalogues, such as /usr/share/locale/it/LC_MESSAGES/*.mo.

Each pair of texts is passed to the guards; faults are planted where `benchmarks/guards.py` plants them.
Prints one line of JSON for each argument: the pairs, the percentage refused with the reasons and one example
of each, and of the folder the percentage found of each kind of fault, with the number planted.
"""

from __future__ import annotations

import argparse
import gettext
import json
import random
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from benchmarks.guard_faults.faults import END, TEXT_FAULTS
from benchmarks.guard_faults.right import SOURCE, TARGET
from ndino.data.translation.rejection import TextChecks
from ndino.languages.language import language

WORDS = re.compile(r"[^\W\d_]{2}")
TEMPLATE = re.compile(r"[\n%`<>{}\[\]|]")
Pairs = dict[str, str]


def captions(folder: Path) -> Pairs:
    """The English and Italian captions of stamps: the first line, and that of ``it.utf8``."""
    pairs: Pairs = {}
    for path in sorted(folder.rglob("*.txt")):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        italian = next((line.partition("=")[2] for line in lines if line.startswith(f"{TARGET}.utf8=")), "")
        if lines and italian.strip():
            pairs[lines[0].strip()] = italian.strip()
    return pairs


def messages(catalogue: Path) -> Pairs:
    """The messages of one line of a catalogue that are words in both languages.

    Messages with a context are left out, since it is part of the source, and those with fields to fill in or
    the syntax of a command: they are no texts. The mark of a keyboard shortcut is removed.
    """
    with catalogue.open("rb") as file:
        entries = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]
    pairs = {}
    for source, target in entries.items():
        if not isinstance(source, str) or "\x04" in source:
            continue
        ours, theirs = (_plain(text) for text in (source, target))
        if not TEMPLATE.search(ours + theirs) and WORDS.search(ours) and WORDS.search(theirs):
            pairs[ours] = theirs
    return pairs


def _plain(text: str) -> str:
    return (text.replace("_", "") if text.count("_") == 1 else text).strip()


def refused(pairs: Pairs, checks: TextChecks) -> tuple[Counter[str], dict[str, tuple[str, str]]]:
    """The reasons for which pairs are refused, and one example of each."""
    reasons: Counter[str] = Counter()
    shown: dict[str, tuple[str, str]] = {}
    for source, target in pairs.items():
        if reason := checks.rejection(source, target):
            reasons[reason] += 1
            shown.setdefault(reason, (source, target))
    return reasons, shown


def found(pairs: Pairs, checks: TextChecks) -> Iterator[tuple[str, float, int]]:
    """Each kind of fault, the percentage that is found and how many are planted."""
    for name, spoil in TEXT_FAULTS.items():
        drawn = random.Random(0)
        spoilt = ((source, spoil(source, target, drawn)) for source, target in pairs.items())
        verdicts = [
            checks.rejection(source, None if text == END else text)
            for source, text in spoilt
            if text is not None
        ]
        if verdicts:
            yield name, round(100 * sum(map(bool, verdicts)) / len(verdicts), 1), len(verdicts)


def main() -> int:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("origins", nargs="+", type=Path, metavar="FOLDER|FILE.mo")
    checks = TextChecks(language(SOURCE), language(TARGET))
    for origin in parser.parse_args().origins:
        pairs = captions(origin) if origin.is_dir() else messages(origin)
        reasons, shown = refused(pairs, checks)
        told = {
            "origin": origin.name,
            "pairs": len(pairs),
            "refused_percent": round(100 * reasons.total() / max(len(pairs), 1), 2),
            "refused": dict(reasons.most_common()),
            "shown": shown,
        }
        if origin.is_dir():
            told["found_percent"] = {name: (percent, count) for name, percent, count in found(pairs, checks)}
        print(json.dumps(told, ensure_ascii=False), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
