"""Was a text in capitalised words, or a list of options, left as it was? Capitals look like names."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ndino.data.translation.text_measures import WORD, sentences
from ndino.languages.identify import rival_of

# The odds of names in small letters spread widely, so they must be higher than those of other short texts.
CAPITALS_ODDS, LETTERS = 16.0, 8
CAPITALISED = 0.75  # share of the words that have a capital
# A sentence without a small word may be a name, unless it has so many words and no sign between them.
LONG_NAME, LONG_NAME_ODDS = 5, 100.0


def capitals_not_translated(
    source: str, target: str, small_words: Collection[str], source_language: str, language: str
) -> bool:
    """Whether ``target`` keeps a sentence of ``source`` that has a capital at (nearly) every word.

    Args:
        small_words: words of the source language that names have inside in small letters: of, the, on.
    """
    return any(
        sentence.strip() in target and _is_phrase(sentence, small_words, source_language, language)
        for sentence in sentences(source)
    )


def _is_phrase(sentence: str, small_words: Collection[str], source_language: str, language: str) -> bool:
    words = [word for word in WORD.findall(sentence) if word.isalpha()]
    capitals = [word for word in words if word[0].isupper()]
    if len(words) < 2 or len(capitals) < CAPITALISED * len(words):
        return False
    if any(word.casefold() in small_words for word in capitals[1:]):
        return _odds(words, source_language, language) >= CAPITALS_ODDS
    one_name = len(words) >= LONG_NAME and not any(mark in sentence for mark in ",;:&/")
    return one_name and _odds(words, source_language, language) >= LONG_NAME_ODDS


def options_not_translated(options: Sequence[tuple[str, str]], source_language: str, language: str) -> bool:
    """Whether half and more of the options (source, translation) are as they were, in words of the source's
    language; a capital at their beginning does not make them names, but one inside does."""
    kept = [ours for ours, theirs in options if ours.casefold() == theirs.casefold()]
    words = [WORD.findall(option) for option in kept]
    if len(kept) < 2 or len(kept) * 2 < len(options):
        return False
    if any(not word.islower() for option in words for word in option[1:]):
        return False
    return _odds([word for option in words for word in option], source_language, language) >= CAPITALS_ODDS


def _odds(words: Sequence[str], source_language: str, language: str) -> float:
    """How many times as probable the source's language is; 0 if it is not the most probable of the others."""
    if sum(map(len, words)) < LETTERS:
        return 0.0
    rival, odds = rival_of(" ".join(words).casefold(), language)
    return odds if rival == source_language else 0.0
