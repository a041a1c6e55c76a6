"""Does a translation say all of its source, and no more?"""

from __future__ import annotations

import re
from collections.abc import Collection

from ndino.data.translation.placeholders import without_placeholders
from ndino.data.translation.text_measures import WORD, sentences, width

_QUESTION = "?？؟՞፧"
_END = re.compile(r"[.!?…。！？؟।:;][\"'»“”’)\]]*\Z")
_TERMINATED = re.compile(r"[.!?…。！？][\"'»“”’)\]]*\Z")
_ABBREVIATED = re.compile(r"\b(?:\w\.\s?){2,}\Z")  # p.m.
# A sentence shorter than this may lose its full stop: `pair_line.as_written` sets it.
SENTENCE_WORDS = 5
WHOLE = 0.75  # share of its source's length from which on a text is whole, whatever its last word
# What follows the sentences of the source is a tail, if these are at least this share of its length; more
# where the last full stop may be that of an abbreviation.
TAIL_AFTER, TAIL_AFTER_ABBREVIATION = 0.4, 0.65
_ABBREVIATION = re.compile(r"\b\w{1,4}\.\Z")


def lost_question(source: str, target: str, marks: str) -> bool:
    """Whether ``target`` has fewer question marks than ``source``; ``marks`` are those of its language."""
    marks = marks or _QUESTION
    asked = sum(character in _QUESTION for character in without_placeholders(source))
    return asked > sum(character in marks for character in without_placeholders(target))


def breaks_off(source: str, target: str, unfinished: Collection[str]) -> bool:
    """Whether ``target`` lacks the end of its source's sentence, or ends with a word that never ends a text.

    Args:
        unfinished: such words of the target language: articles and the like, in small letters.
    """
    ends = _TERMINATED.search(source) and not _ABBREVIATED.search(source)
    if len(WORD.findall(source)) >= SENTENCE_WORDS and ends and not _END.search(target):
        return True
    words = WORD.findall(target)
    # A source may end so too ("written by"), but then nothing is missing.
    if len(WORD.findall(source)) < 2 or width(target) > WHOLE * width(source) or not words:
        return False
    # In capitals, or as the source has it, it is a letter or a name.
    last = words[-1][:1].lower() + words[-1][1:]
    return last in unfinished and words[-1] not in WORD.findall(source)


def says_more(source: str, target: str) -> bool:
    """Whether sentences follow in ``target`` after a translation of ``source``."""
    ours, theirs = _sentences(source), _sentences(target)
    if len(theirs) <= len(ours):
        return False
    told, tail = "".join(theirs[: len(ours)]).strip(), "".join(theirs[len(ours) :])
    least = TAIL_AFTER_ABBREVIATION if _ABBREVIATION.search(told) else TAIL_AFTER
    return width(told) >= least * width(source) and len(WORD.findall(tail)) >= 2


def _sentences(text: str) -> list[str]:
    """The sentences of a text; none begins with a small letter."""
    found: list[str] = []
    for part in sentences(text):
        if found and part[:1].islower():
            found[-1] += part
        else:
            found.append(part)
    return found
