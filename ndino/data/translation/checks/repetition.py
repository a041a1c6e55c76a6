"""Does a translation repeat itself where its source does not?"""

from __future__ import annotations

import itertools

from ndino.data.translation.text_measures import WORD

# A phrase said twice in succession counts from so many letters on: idioms repeat short ones (a poco a poco).
PHRASE_LETTERS = 10
LONGEST_PHRASE = 40  # words; longer ones only where the text is nothing but repetitions


def repeats(source: str, target: str) -> bool:
    """Whether ``target`` says a phrase of several words twice in succession, or anything three times, or is
    nothing but repetitions, and ``source`` does not do so as often."""
    words = WORD.findall(target.casefold())
    if len(words) < 2:
        return False
    most, whole = _repetitions(words)
    if most < 2:
        return False
    theirs = WORD.findall(source.casefold())
    its_most, its_whole = _repetitions(theirs)
    if (most, whole) == (2, 2) and sum(map(len, words)) < 2 * PHRASE_LETTERS:
        # "Little by little" repeats a word as well.
        return its_most < 2 and len(set(theirs)) == len(theirs)
    if any(one == next_one for one, next_one in itertools.pairwise(theirs)):
        its_most = max(its_most, 2)  # one word may become two
    return most > its_most or whole > its_whole


def _repetitions(words: list[str]) -> tuple[int, int]:
    """How often a phrase is said in succession, at most; how often the whole text repeats its beginning."""
    count = len(words)
    most = 1
    for size in range(1, min(count // 2, LONGEST_PHRASE) + 1):
        equal = 0  # words in a row that are the same as ``size`` words before
        for place in range(size, count):
            equal = equal + 1 if words[place] == words[place - size] else 0
            if equal >= size and equal % size == 0:
                times = equal // size + 1
                phrase = words[place - size + 1 : place + 1]
                if times > most and _counts(phrase, times):
                    most = times
    whole = max(
        (
            count // size
            for size in range(1, count // 2 + 1)
            if not count % size and words == words[:size] * (count // size) and not _figures(words[:size])
        ),
        default=1,
    )
    return max(most, whole), whole


def _counts(phrase: list[str], times: int) -> bool:
    # Numbers do not count: coordinates and matrices repeat them.
    if _figures(phrase):
        return False
    return times > 2 or (len(phrase) > 1 and sum(map(len, phrase)) >= PHRASE_LETTERS)


def _figures(phrase: list[str]) -> bool:
    return all(word.isdecimal() or len(word) == 1 for word in phrase)
