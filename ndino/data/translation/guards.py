"""Is this a translation of that? Checks of form that hold for any pair of languages."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from ndino.common.files import key_of
from ndino.data.translation.kept_numbers import lost_number
from ndino.data.translation.placeholders import PLACEHOLDER

VERSION = 1  # of the checks: part of the memory's key, so that changed checks do not meet old verdicts

WORD = re.compile(r"\w+")
LETTERS = re.compile(r"([^\W\d]{1,12}?)\1{3,}")
SENTENCE_END = re.compile(r"(?<=[.!?…。！？])(?:\s+|(?<=[。！？]))")

# A translation may be so many times longer or shorter, in letters, than its source; short texts vary more,
# hence the letters on top. Ours: see docs/data/translation.md for how many right translations they refuse.
LONGEST, SHORTEST, MARGIN = 2.5, 0.4, 20
# A word or phrase so many times in a row, or a phrase of four words so many times over all, is a loop, unless
# the source does the same.
ROW, ROW_LETTERS, PHRASE_WORDS, PHRASES = 4, 12, 4, 4
# A translation is a copy when so large a share of the source's different words in small letters stands in it,
# and there are so many of them.
COPIED_WORDS, COPIED_SHARE = 4, 0.8

EMPTY, LOOP, LONG, SHORT, COPY, PLACEHOLDER_LOST, NUMBER_LOST = (
    "empty translation",
    "looping translation",
    "translation too long",
    "translation too short",
    "not translated",
    "placeholder lost",
    "number lost",
)


@dataclass(frozen=True)
class Guards:
    """The checks for one target language; ``number_words`` are its words for numbers, with their values."""

    number_words: Mapping[str, int] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """What a verdict depends on."""
        return f"guards {key_of(VERSION, sorted(self.number_words.items()))}"

    def fault(self, source: str, target: str) -> str | None:
        """Why ``target`` cannot be a translation of ``source``, one of a few phrases, or None."""
        if not WORD.search(target):
            return EMPTY
        if loops(target) and not loops(source):
            return LOOP
        there, here = width(source), width(target)
        if here > LONGEST * there + MARGIN:
            return LONG
        if here < SHORTEST * there - MARGIN:
            return SHORT
        if Counter(PLACEHOLDER.findall(source)) != Counter(PLACEHOLDER.findall(target)):
            return PLACEHOLDER_LOST
        if lost_number(PLACEHOLDER.sub(" ", source), PLACEHOLDER.sub(" ", target), self.number_words):
            return NUMBER_LOST
        if copied(source, target):
            return COPY
        return None


def sentences(text: str) -> list[str]:
    """``text`` cut behind the ends of its sentences; joined they are ``text``."""
    ends = [0, *(match.end() for match in SENTENCE_END.finditer(text)), len(text)]
    return [text[start:end] for start, end in itertools.pairwise(ends) if text[start:end].strip()]


def width(text: str) -> int:
    """The length of a text in letters; a character that fills two columns says as much as three letters."""
    return sum(3 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def loops(text: str) -> bool:
    """Whether something is said again and again."""
    words = WORD.findall(text.casefold())
    return _in_a_row(words) or _all_over(words) or _letters_in_a_row(text)


def _in_a_row(words: list[str]) -> bool:
    for size in range(1, len(words) // ROW + 1):
        run = size
        for first, second in zip(words, words[size:], strict=False):
            # Numbers repeat in coordinates and matrices.
            run = run + 1 if first == second and not first.isdecimal() else size
            if run >= ROW * size:
                return True
    return False


def _all_over(words: list[str]) -> bool:
    phrases = Counter(zip(*(words[start:] for start in range(PHRASE_WORDS)), strict=False))
    # A long text may say a phrase often: it has to make up a fifth of the words too.
    return any(
        count >= PHRASES and count * PHRASE_WORDS * 5 >= len(words) and not all(map(str.isdecimal, phrase))
        for phrase, count in phrases.most_common(3)
    )


def _letters_in_a_row(text: str) -> bool:
    # For scripts without spaces, and for endless words.
    return any(len(match[0]) >= ROW_LETTERS for match in LETTERS.finditer(text))


def copied(source: str, target: str) -> bool:
    """Whether ``target`` is ``source``, names, numbers and very short texts aside."""
    words = {word for word in WORD.findall(PLACEHOLDER.sub(" ", source)) if word.islower() and len(word) > 1}
    there = set(WORD.findall(target.casefold()))
    return len(words) >= COPIED_WORDS and sum(word in there for word in words) >= COPIED_SHARE * len(words)
