"""How many faulty translations do the rejection rules find, and how many right ones do they refuse?

    python -m benchmarks.guards                  800 examples and 3,000 lines of Apertium's, about a minute
    python -m benchmarks.guards --scale 0.001

Right translations from English to Italian (``benchmarks/guard_faults/right.yaml``, written by hand, and
filled with things, numbers, times and prices) go through the whole way of a pair or a text: line, translator,
checks, and the line taken apart. In every right way to write them the rules should pass them. Then each is
spoilt in the ways in which neural models fail, and the rules should reject it. A fault is planted only where
it makes sense: a lost number only where the source has a number, another language only where there are
letters enough.

Where Debian's Apertium is installed, lines like those of The Cauldron (`benchmarks/cauldron_questions.py`)
are translated too: ``apertium_refused`` is the share of its translations that is refused, with the reasons.
Not all of them are right.

Goal: 98 % of every kind of fault found, at most 1 % of the right translations refused. The last line is JSON:
``name``, ``ratio`` (lowest share found of any kind), ``goal``, ``equal`` (both goals are reached) and
``conditions``.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from benchmarks.bench.result import print_result
from benchmarks.cauldron_questions import questions
from benchmarks.guard_faults.faults import (
    END,
    OTHERS,
    PAIR_FAULTS,
    SENTENCES_IN,
    TEXT_FAULTS,
    text_in,
    with_sentence_in,
)
from benchmarks.guard_faults.right import SOURCE, TARGET, Example, PairExample, TextExample, examples
from ndino.data.translation import Translation
from ndino.data.translation.pairs import Pair
from ndino.data.translation.rejection import TextChecks
from ndino.data.translation.translated_pairs import RejectedPair, translate_pairs
from ndino.languages.language import language

GOAL, MOST_REFUSED = 0.98, 1.0
EXAMPLES = 80_000  # times the scale
SHOWN = 5  # faults of a kind that were not found
ENGLISH, ITALIAN = language(SOURCE), language(TARGET)
CHECKS = TextChecks(ENGLISH, ITALIAN)


class Planted:
    """Gives each source the translation that was planted for it, and no better one when asked again."""

    identity = "planted"

    def __init__(self, translations: Mapping[str, str]) -> None:
        self._translations = translations

    def translate(self, texts: Sequence[str]) -> list[str | None]:
        return [None if self._translations[text] == END else self._translations[text] for text in texts]

    def translate_again(self, texts: Sequence[str]) -> list[None]:
        return [None for _ in texts]


def refusals(planted: Sequence[tuple[Example, str]]) -> list[str | None]:
    """Why each of these translations is rejected, or None; no source may occur twice."""
    sources = {one.source: text for one, text in planted}
    with Translation(Planted(sources), Path(":memory:"), CHECKS) as translation:
        found: list[str | None] = []
        for one, _ in planted:
            if isinstance(one, TextExample):
                found.append(translation.translate([one.source])[0].reason)
                continue
            parts = one.parts[SOURCE]
            pair = Pair(parts.question, parts.answer, parts.options, one.choice, parts.explanation)
            (result,) = translate_pairs([pair], translation, ENGLISH, ITALIAN)
            found.append(result.reason if isinstance(result, RejectedPair) else None)
        return found


def missed(planted: Sequence[tuple[Example, str]]) -> list[str]:
    """Those of these wrong translations that are not rejected."""
    return [text for (_, text), reason in zip(planted, refusals(planted), strict=True) if reason is None]


def right_ways(made: Iterable[Example]) -> list[list[tuple[Example, str]]]:
    """Lists of examples with a right translation: the first way of each, the second, ..."""
    rounds: list[list[tuple[Example, str]]] = []
    for one in made:
        for number, way in enumerate(dict.fromkeys(one.ways)):
            if number == len(rounds):
                rounds.append([])
            rounds[number].append((one, way))
    return rounds


def spoilt(made: Sequence[Example]) -> dict[str, list[tuple[Example, str]]]:
    """By kind of fault, the examples with the fault planted."""
    drawn = random.Random(0)
    planted: dict[str, list[tuple[Example, str]]] = {}

    def plant(name: str, one: Example, text: str | None) -> None:
        if text is not None:
            planted.setdefault(name, []).append((one, text))

    for one in made:
        if isinstance(one, PairExample):
            for name, fault in PAIR_FAULTS.items():
                plant(name, one, fault(one, one.parts[TARGET], drawn))
        else:
            for name, spoil in TEXT_FAULTS.items():
                plant(name, one, spoil(one.texts[SOURCE], one.texts[TARGET], drawn))
            for name, code in OTHERS.items():
                plant(f"text in {name}", one, text_in(code)(one, drawn))
            for name, code in SENTENCES_IN.items():
                plant(f"sentence in {name}", one, with_sentence_in(code)(one, drawn))
    return planted


def apertium_refused(scale: float) -> dict[str, object]:
    """The share of Apertium's translations that is refused, with the reasons; empty without Apertium."""
    if shutil.which("apertium") is None:
        return {}
    from ndino.data.translation.engines.apertium import Apertium

    lines = list(dict.fromkeys(line for _, line in questions(seed=0, scale=scale)))
    verdicts = [
        CHECKS.rejection(*pair) for pair in zip(lines, Apertium("eng", "ita").translate(lines), strict=True)
    ]
    refused = Counter(filter(None, verdicts))
    return {
        "lines": len(lines),
        "percent": round(100 * refused.total() / len(lines), 2),
        "reasons": dict(refused.most_common()),
    }


def main() -> int:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--scale", type=float, default=0.01, metavar="S", help="share of the examples (default: 0.01)"
    )
    options = parser.parse_args()
    made = list(examples(seed=0, count=round(EXAMPLES * options.scale)))
    begun = time.process_time()
    verdicts = [
        (one, way, reason)
        for some in right_ways(made)
        for (one, way), reason in zip(some, refusals(some), strict=True)
    ]
    seconds = time.process_time() - begun
    wrongly = [(way, reason) for _, way, reason in verdicts if reason]
    for way, reason in wrongly:
        print(f"refused though right ({reason}): {way}", file=sys.stderr)
    planted = spoilt(made)
    shares = {}
    for name, some in planted.items():
        left = missed(some)
        shares[name] = 1 - len(left) / len(some)
        for text in left[:SHOWN]:
            print(f"not found ({name}): {text}", file=sys.stderr)
    refused_percent = 100 * len(wrongly) / len(verdicts)
    conditions = {
        "measure": "lowest share of planted faults found, of any kind",
        "right translations": len(verdicts),
        "refused_percent": round(refused_percent, 2),
        "refused": dict(Counter(reason for _, reason in wrongly).most_common()),
        "found_percent": {name: round(100 * share, 1) for name, share in shares.items()},
        "planted": {name: len(some) for name, some in planted.items()},
        "microseconds_a_text": round(1e6 * seconds / len(verdicts), 1),
        "apertium_refused": apertium_refused(options.scale),
    }
    ratio = min(shares.values())
    print_result(
        "guards",
        ratio=round(ratio, 4),
        goal=GOAL,
        equal=ratio >= GOAL and refused_percent <= MOST_REFUSED,
        conditions=conditions,
        packages=("py3langid", "num2words", "babel"),
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
