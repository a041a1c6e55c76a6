"""Signs that no translator should write: of lost characters, a wrong encoding, a tokenizer; lost spaces."""

from __future__ import annotations

import re

from ftfy import fix_encoding
from ftfy.badness import is_bad

from ndino.data.translation.placeholders import ENTITY, without_placeholders
from ndino.languages.identify import scripts_of

# What a tokenizer, a chat template or an encoding leaves: unknown signs, the sign of a space (▁), bytes,
# special tokens, a line break in letters, and characters that set the direction of writing.
LEFTOVER = re.compile(
    r"[\u2047\ufffd\u2581]|<unk>|<pad>|</?s>|<0x[0-9A-Fa-f]{2}>|<\|[^<>\s]+\|>|\[/?INST\]|\\[nrt](?![A-Za-z{])"
    r"|[\u202a-\u202e\u2066-\u2069\ufeff]"
)
# Characters without width belong to words of some scripts, and to emoji, but not to Latin letters.
WITHOUT_WIDTH = re.compile(r"(?<=[A-Za-zÀ-ɏ\s])[\u00ad\u200b-\u200f\u2060]")
# Scripts that put no spaces between words.
_UNSPACED = frozenset({"CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN"})
# Spaces are lost where the translation of so many words has words of more letters and digits than this on
# average. One word may translate several, and numbers in words are long, so less says too little.
SPACED_WORDS, LONGEST_AVERAGE = 4, 20
_LETTERS = re.compile(r"[^\W_]")


def has_unknown_signs(source: str, target: str) -> bool:
    """Whether ``target`` has signs of lost characters, of a tokenizer or of a wrong encoding (Ã¨ for è), or
    HTML entities, that ``source`` has not."""
    patterns = (LEFTOVER, WITHOUT_WIDTH, ENTITY)
    if any(found[0] not in source for pattern in patterns for found in pattern.finditer(target)):
        return True
    return _wrongly_decoded(target) and not _wrongly_decoded(source)


def _wrongly_decoded(text: str) -> bool:
    return not text.isascii() and is_bad(text) and fix_encoding(text) != text


def lost_spaces(source: str, target: str, language: str) -> bool:
    """Whether ``target`` runs its words together, where ``language`` puts spaces between them."""
    scripts = scripts_of(language)
    ours = without_placeholders(source).split()
    if not scripts or scripts & _UNSPACED or len(ours) < SPACED_WORDS:
        return False
    theirs = without_placeholders(target).split()
    return _average(theirs) > LONGEST_AVERAGE >= _average(ours)


def _average(words: list[str]) -> float:
    """Letters and digits of a word, on average."""
    return len(_LETTERS.findall("".join(words))) / max(len(words), 1)
