"""Short answers that a translation left as they were: no check sees a single word in another language."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from ndino.data.translation.pair_line import bare, exact_answer
from ndino.languages.language import language

SHORT_WORDS = 2
# Names and words that both languages have stay as they are. More of them than this share, of so many short
# answers, are named to the user. Ours.
TOO_MANY, ENOUGH = 1 / 3, 20


class UnchangedAnswers:
    """Counts, by source, the answers of one or two words in translated rows, and those equal to the original.

    Answers that are taken from the source do not count: letters, numbers, yes and no.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._from = settings.get("from")
        self.short: Counter[str] = Counter()
        self.unchanged: Counter[str] = Counter()

    def add(self, source: str, row: Mapping[str, Any]) -> None:
        """Count a row, if it is a pair with its original."""
        original, said = row.get("original"), row.get("conversations", ())
        if not self._from or not isinstance(original, list) or len(original) != 2 or len(said) != 2:
            return
        answer = original[1]
        if not isinstance(answer, str) or not 0 < len(answer.split()) <= SHORT_WORDS:
            return
        if exact_answer(answer, language(self._from)) is not None:
            return
        self.short[source] += 1
        self.unchanged[source] += bare(answer) == bare(said[1]["value"])

    def as_json(self) -> dict[str, Any]:
        """For the manifest: by source, how many short answers there are and how many are unchanged."""
        return {
            source: {"short": count, "unchanged": self.unchanged[source]}
            for source, count in sorted(self.short.items())
        }


def unchanged_lines(counted: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Which sources the user should look into, one line each."""
    return [
        f"{source}: {counts['unchanged']:,} of {counts['short']:,} short answers are as in the source "
        "(remedy: read some beside their original in data.jsonl; "
        "unless they are names, take another translator)"
        for source, counts in counted.items()
        if counts["short"] >= ENOUGH and counts["unchanged"] > TOO_MANY * counts["short"]
    ]
