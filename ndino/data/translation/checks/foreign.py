"""Is a translation in the language that it should be in? Names, numbers and quotations do not count."""

from __future__ import annotations

import re

from ndino.data.translation.placeholders import without_placeholders
from ndino.data.translation.text_measures import WORD, copies, sentences
from ndino.languages.identify import label_of, other_language, rival_of, script_of, scripts_of

# Between apostrophes only where no word touches them: l'uomo.
_QUOTED = re.compile(r"[\"“«‹„][^\"“”«»‹›„]+[\"”»›“]|(?<!\w)['‘][^'‘’]+['’](?!\w)")
# A text that only has words of its source counts as not translated, from so many words on, if its language
# is more probable by this factor than the one it should be in.
COPIED_WORDS, COPIED_ODDS = 2, 2.0
TRANSLATED = 0.4  # share of the letters that new words must have
# So many words of the source in succession are copied, if so many different ones are in small letters: titles
# of works and names have fewer.
COPIED_RUN, COPIED_SMALL, RUN_ODDS = 5, 4, 8.0
# A single sentence of several is judged from so many letters on. There are many, so the odds are higher.
SENTENCE_LETTERS, SENTENCE_ODDS = 30, 16.0
_LATIN = "LATIN"


def in_another_script(source: str, target: str, language: str) -> bool:
    """Whether words of ``target`` are in a script that ``language`` is not written in, nor ``source`` has.

    Words in Latin letters are names in any language, so they only count if all the text is in them.
    """
    scripts = scripts_of(language)
    odd = {
        character
        for character in set(target) - set(source)
        if ord(character) > 0x24F or _LATIN not in scripts
    }
    if not scripts or not any(script_of(character) not in (None, *scripts) for character in odd):
        return False
    words = [word for word in WORD.findall(without_placeholders(target)) if any(map(str.isalpha, word))]
    foreign = [word for word in words if _foreign(word, scripts) and word not in source]
    if all(script_of(character) == _LATIN for word in foreign for character in word if character.isalpha()):
        return len(foreign) > len(words) / 2
    return any(len(word) > 1 for word in foreign) or len(foreign) == len(words)


def _foreign(word: str, scripts: frozenset[str]) -> bool:
    return not any(script_of(character) in (None, *scripts) for character in word if character.isalpha())


def not_translated(source: str, target: str, source_language: str, language: str) -> bool:
    """Whether ``target`` is ``source`` again, or still in its language."""
    if copies(source, target):
        # It was in the target language before.
        return other_language(source, source_language) != label_of(language)
    whole = " ".join(WORD.findall(without_placeholders(target)))
    source, target = _without_names(source, source), _without_names(target, source)
    words, new = _words_of(target, source)
    if not any(word.isalpha() for word in new) and sum(len(word) > 1 for word in words) >= COPIED_WORDS:
        rival, odds = rival_of(whole, language)
        return rival == source_language and odds >= COPIED_ODDS
    return other_language(target, language) == source_language and not _mostly_translated(
        words, new, language
    )


def _words_of(target: str, source: str) -> tuple[list[str], list[str]]:
    """The words of ``target``, and those of them that ``source`` has not."""
    words = WORD.findall(target)
    its_words = set(WORD.findall(source.casefold()))
    return words, [word for word in words if word.casefold() not in its_words]


def _mostly_translated(words: list[str], new: list[str], language: str) -> bool:
    """Whether the words that the source has not are enough, and in the right language.

    Technical texts keep many words of their source.
    """
    letters = sum(map(len, new))
    return letters >= TRANSLATED * sum(map(len, words)) and rival_of(" ".join(new), language)[1] < 1


def in_another_language(source: str, target: str, language: str) -> bool:
    """Whether ``target`` is in another language than ``language``."""
    target = _without_names(target, source)
    words, new = _words_of(target, source)
    return other_language(target, language) is not None and not _mostly_translated(words, new, language)


def keeps_words(source: str, target: str, source_language: str, language: str) -> bool:
    """Whether ``target`` has many words of ``source`` in succession, in the language of ``source``; not those
    that ``source`` quotes."""
    ours = WORD.findall(_unquoted(source))
    theirs = WORD.findall(_unquoted(target))
    known = {tuple(ours[place : place + COPIED_RUN]) for place in range(len(ours) - COPIED_RUN + 1)}
    place = 0
    while place <= len(theirs) - COPIED_RUN:
        end = place
        while tuple(theirs[end : end + COPIED_RUN]) in known:
            end += 1
        if end > place:
            run = theirs[place : end + COPIED_RUN - 1]
            small = {word for word in run if word.islower() and len(word) > 1 and word.isalpha()}
            rival, odds = rival_of(" ".join(run), language) if len(small) >= COPIED_SMALL else ("", 0.0)
            if rival == source_language and odds >= RUN_ODDS:
                return True
        place = end + 1
    return False


def _unquoted(text: str) -> str:
    return _QUOTED.sub(" | ", without_placeholders(text))


def sentence_in_another_language(source: str, target: str, language: str) -> bool:
    """Whether a sentence of ``target`` is in another language, though the whole may not be."""
    theirs = sentences(target)
    if len(theirs) < 2:
        return False
    for sentence in theirs:
        text = _without_names(sentence, source)
        if sum(map(str.isalpha, text)) < SENTENCE_LETTERS or rival_of(text, language)[1] < SENTENCE_ODDS:
            continue
        words, new = _words_of(text, source)
        if new and not _mostly_translated(words, new, language):
            return True
    return False


def _without_names(text: str, source: str) -> str:
    """``text`` without placeholders and numbers, quotations that the source has as well, and words with a
    capital or digit that it has as well."""
    text = without_placeholders(text)
    text = _QUOTED.sub(lambda found: " " if found[0][1:-1] in source else found[0], text)
    names = {word for word in WORD.findall(source) if not word.islower()}
    if names:
        text = WORD.sub(lambda found: " " if found[0] in names and not found[0].islower() else found[0], text)
    return re.sub(r"\d+", " ", text)
