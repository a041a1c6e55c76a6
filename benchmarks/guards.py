"""How many faulty translations do the rejection rules find, and how many of Apertium's do they reject?

    python -m benchmarks.guards                  3,400 lines, about a minute
    python -m benchmarks.guards --scale 0.001

Lines like those of The Cauldron (`benchmarks/cauldron_questions.py`) are translated by Apertium from English
to Italian. The rules should reject few of these translations: Apertium loses no numbers and does not loop.
Then each accepted translation is damaged in the ways in which neural models fail, and the rules should reject
it. A fault is planted only where it makes sense: a lost number only where the source has a number. Needs
Debian's Apertium.

Goal: 0.95 of the planted faults found. The last line is JSON: ``name``, ``ratio`` (share of planted faults
found), ``goal``, ``equal`` (the goal is reached) and ``conditions``.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections import Counter
from collections.abc import Callable

from benchmarks.bench.result import print_result
from benchmarks.cauldron_questions import questions
from ndino.data.translation.engines.apertium import Apertium
from ndino.data.translation.rejection import TextChecks
from ndino.languages.language import language

GOAL = 0.95
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


def _looping(source: str, target: str) -> str:
    return f"{target} {' '.join(target.split()[-3:])}" + f" {' '.join(target.split()[-3:])}" * 4


def _without_number(source: str, target: str) -> str | None:
    return NUMBER.sub("", target, count=1) if NUMBER.search(source) and NUMBER.search(target) else None


def _other_number(source: str, target: str) -> str | None:
    number = NUMBER.search(source)
    return target.replace(number[0], f"{number[0]}7", 1) if number and number[0] in target else None


def _cut(source: str, target: str) -> str | None:
    # A short text can have a correct translation that is much shorter, so only long ones are cut.
    return target[: len(target) // 5] if len(target) > 100 else None


FAULTS: dict[str, Callable[[str, str], str | None]] = {
    "empty": lambda source, target: "",
    "looping": _looping,
    "not translated": lambda source, target: source,
    "cut to a fifth, of 100 letters and more": _cut,
    "said three times": lambda source, target: " ".join([target] * 3) if len(target) > 100 else None,
    "number lost": _without_number,
    "other number": _other_number,
}


def main() -> int:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--scale", type=float, default=0.01, metavar="S", help="share of the lines (default: 0.01)"
    )
    options = parser.parse_args()
    sources = list(dict.fromkeys(line for _, line in questions(seed=0, scale=options.scale)))
    checks = TextChecks(language("it").words["number_words"])
    targets = Apertium("eng", "ita").translate(sources)
    begun = time.process_time()
    verdicts = [checks.rejection(*pair) for pair in zip(sources, targets, strict=True)]
    seconds = time.process_time() - begun
    planted: Counter[str] = Counter()
    found: Counter[str] = Counter()
    for source, target, verdict in zip(sources, targets, verdicts, strict=True):
        for name, spoil in FAULTS.items():
            if verdict is None and (spoilt := spoil(source, target)) is not None:
                planted[name] += 1
                found[name] += checks.rejection(source, spoilt) is not None
    ratio = sum(found.values()) / sum(planted.values())
    conditions = {
        "measure": "planted faults found",
        "lines": len(sources),
        "refused_percent": round(100 * sum(verdict is not None for verdict in verdicts) / len(sources), 2),
        "refused": dict(Counter(filter(None, verdicts)).most_common()),
        "found_percent": {
            name: round(100 * found[name] / planted[name], 1) for name in FAULTS if planted[name]
        },
        "planted": dict(planted),
        "microseconds_a_line": round(1e6 * seconds / len(sources), 1),
    }
    print_result(
        "guards", ratio=round(ratio, 4), goal=GOAL, equal=ratio >= GOAL, conditions=conditions, packages=()
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
