"""What the checks of a translation measure on a text: width, phrases, loops, copied words; its sentences."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

from ndino.data.translation.placeholders import without_placeholders

WORD = re.compile(r"\w+")
REPEATED_LETTERS = re.compile(r"([^\W\d]{1,12}?)\1{3,}")
SENTENCE_END = re.compile(r"(?<=[.!?…。！？])(?:\s+|(?<=[。！？]))")

# All thresholds below are ours.
# A loop is a word or phrase repeated ROW times in succession, PHRASES uses of one phrase of PHRASE_WORDS
# words all over the text, or at least ROW_LETTERS letters that repeat a group of letters.
ROW, ROW_LETTERS, PHRASE_WORDS, PHRASES = 4, 12, 4, 4
# A copy holds this share of the source's distinct lower-case words, of which there must be COPIED_WORDS.
COPIED_WORDS, COPIED_SHARE = 4, 0.8


def sentences(text: str) -> list[str]:
    """``text`` split after the end of each sentence; the parts joined are ``text``."""
    ends = [0, *(match.end() for match in SENTENCE_END.finditer(text)), len(text)]
    return [text[start:end] for start, end in itertools.pairwise(ends) if text[start:end].strip()]


def width(text: str) -> int:
    """The length of a text in letters; a full-width character (Chinese, Japanese) counts as three."""
    return sum(3 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def says(text: str, phrases: Iterable[str]) -> bool:
    """Whether ``text`` has one of these words or phrases, which is no part of a longer word."""
    return any(re.search(rf"(?<!\w){re.escape(phrase)}(?!\w)", text) for phrase in phrases if phrase in text)


def loops(text: str) -> bool:
    """Whether the text repeats itself the way a model does that is stuck in a loop."""
    words = WORD.findall(text.casefold())
    return _repeats_in_succession(words) or _repeats_all_over(words) or _repeats_letters(text)


def _repeats_in_succession(words: list[str]) -> bool:
    for size in range(1, len(words) // ROW + 1):
        run = size
        for first, second in zip(words, words[size:], strict=False):
            # Numbers do not count: coordinates and matrices repeat them.
            run = run + 1 if first == second and not first.isdecimal() else size
            if run >= ROW * size:
                return True
    return False


def _repeats_all_over(words: list[str]) -> bool:
    phrases = Counter(zip(*(words[start:] for start in range(PHRASE_WORDS)), strict=False))
    # A long text may well use a phrase four times, so the phrase must also make up a fifth of the words.
    return any(
        count >= PHRASES and count * PHRASE_WORDS * 5 >= len(words) and not all(map(str.isdecimal, phrase))
        for phrase, count in phrases.most_common(3)
    )


def _repeats_letters(text: str) -> bool:
    # For scripts that write no spaces, and for a single endless word.
    return any(len(match[0]) >= ROW_LETTERS for match in REPEATED_LETTERS.finditer(text))


def copies(source: str, target: str) -> bool:
    """Whether ``target`` is ``source`` again. Names, numbers and very short texts do not count as copies."""
    words = {word for word in WORD.findall(without_placeholders(source)) if word.islower() and len(word) > 1}
    there = set(WORD.findall(target.casefold()))
    return len(words) >= COPIED_WORDS and sum(word in there for word in words) >= COPIED_SHARE * len(words)
