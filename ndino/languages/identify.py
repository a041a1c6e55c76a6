"""Which language and which script is a text in? Statistical, offline (py3langid), any language it knows."""

from __future__ import annotations

import copy
import re
import unicodedata
from functools import cache, lru_cache
from typing import Any

from ndino.languages.known.locales import locale_of
from ndino.languages.known.tool_codes import listed_code

# A short text is compared with these languages only: among the 140 that py3langid knows there is always a
# small one that looks like it. The wanted language is added.
RIVALS = (
    "ar", "bg", "ca", "cs", "da", "de", "el", "en", "es", "fa", "fi", "fr", "he", "hi", "hr", "hu", "id",
    "it", "ja", "ko", "nl", "pl", "pt", "ro", "ru", "sv", "tr", "uk", "vi", "zh",
)  # fmt: skip
# From so many letters on, a text is in another language if that one is so many times as probable. Below the
# last, a text says too little. Measured on 7,000 short Italian texts: at most 0.7 % of any length are taken
# for another language, of those from 25 letters 0.1 %; docs/data/translation.md has the other side.
ODDS = ((25, 4.0), (16, 8.0), (8, 16.0))
LEAST_LETTERS = ODDS[0][0]  # of an answer whose language is judged


def most_probable(text: str) -> tuple[str, float]:
    """The language of a text and its probability among all that are known."""
    language, probability = _identifier(None).classify(text)
    return language, probability


@cache
def label_of(code: str) -> str:
    """What py3langid calls the language with our ``code``, known to it or not: ``pt`` for pt-BR."""
    return code if code in _identifier(None).labels else listed_code(code)


def is_known(language: str) -> bool:
    """Whether texts in this language can be told from others at all."""
    return label_of(language) in _identifier(None).labels


def other_language(text: str, wanted: str) -> str | None:
    """The code of the language that ``text`` is in, if that is not ``wanted``; None also where it cannot be
    said: the text is too short, or ``wanted`` is not known."""
    letters = sum(map(str.isalpha, text))
    least = next((odds for enough, odds in ODDS if letters >= enough), None)
    if least is None:
        return None
    language, odds = rival_of(text, wanted)
    return language if odds >= least else None


def in_language(text: str, wanted: str) -> bool:
    """Whether a text may be in the language ``wanted``: its script fits, and it is not in another language.

    Numbers do not count, nor do words with a capital inside a sentence, which are names. A text that is
    too short to tell is taken for one in the language.
    """
    scripts = scripts_of(wanted)
    letters = [letter for letter in text if letter.isalpha()]
    if scripts and sum(script_of(letter) in (None, *scripts) for letter in letters) * 2 < len(letters):
        return False
    return other_language(prose(text), wanted) is None


@lru_cache(maxsize=4096)
def language_of(text: str, wanted: str, *, least: int = LEAST_LETTERS) -> str | None:
    """The language of a text, ``wanted`` or another one; None where it cannot be told.

    Numbers and names do not count, as in `in_language`. A text of fewer than ``least`` letters is not judged,
    nor one of which a second language is nearly as probable. docs/evaluation.md says how often this is right.
    """
    plain = prose(text)
    if sum(map(str.isalpha, plain)) < least or not is_known(wanted):
        return None
    label = label_of(wanted)
    (language, best), (_, second) = _among_rivals(label).rank(plain)[:2]
    if best < ODDS[0][1] * second:
        return None
    return wanted if language == label else language


def prose(text: str) -> str:
    """A text without numbers and without words that have a capital inside a sentence, which are names."""
    words = text.split()
    plain = [
        word
        for word, last in zip(words, [".", *words], strict=False)
        if not word.lstrip("([«“\"'").istitle() or last[-1] in ".!?:"
    ]
    return re.sub(r"\d+", " ", " ".join(plain))


@lru_cache(maxsize=256)
def rival_of(text: str, wanted: str) -> tuple[str, float]:
    """The most probable language besides ``wanted``, and how many times as probable as ``wanted`` it is; 0
    times if ``wanted`` is not known. Kept, since several checks ask for the same texts."""
    if not is_known(wanted):
        return wanted, 0.0
    label = label_of(wanted)
    ranked = _among_rivals(label).rank(text)
    probability = dict(ranked)[label]
    language, other = next((one, p) for one, p in ranked if one != label)
    return language, other / max(probability, 1e-12)


@cache
def scripts_of(language: str) -> frozenset[str]:
    """The scripts in which a language is written, as `script_of` names them; empty if it is not known."""
    locale = locale_of(language)
    # The names of languages in the language itself: hundreds of words, with every script it uses.
    names = locale.languages.values() if locale else ()
    return frozenset(filter(None, map(script_of, {letter for name in names for letter in name})))


@cache
def script_of(character: str) -> str | None:
    """The script of a letter: the first word of its Unicode name (LATIN, CJK); None for anything else."""
    letter = unicodedata.normalize("NFKC", character)[:1]
    name = unicodedata.name(letter, "").replace("-", " ").split(" ")[0]
    return name if letter.isalpha() and name not in ("MODIFIER", "") else None


@cache
def _among_rivals(label: str) -> Any:
    return _identifier(tuple(sorted({*RIVALS, label})))


@cache
def _identifier(languages: tuple[str, ...] | None) -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    if languages is None:
        return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    restricted = copy.copy(_identifier(None))
    restricted.set_languages(languages)
    return restricted
