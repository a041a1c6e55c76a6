"""Placeholders: text that is no prose, which a translation must not change; and HTML entities."""

from __future__ import annotations

import html
import re
from collections import Counter

# One side of an equation: a number, or a letter with a number before it, an exponent or an index.
_NUMBER = r"[-−]?\d+(?:[.,]\d+)?"
_LETTER = rf"(?:{_NUMBER}|[-−])?[A-Za-z](?:[\^_]\{{?\w+\}}?)?"
_SIGN = r"(?:[=+*^≤≥≈·×÷±]|\s[=+*/^<>≤≥≈·×÷±−-]\s)"
_TERM = rf"(?:{_LETTER}|{_NUMBER})"
# What a translation may neither lose nor add.
_FIXED = (
    # Formulas: $..$ with a sign of a formula in it (prices have none), or one short symbol; \(..\), \[..\].
    r"\$\$[^$]+\$\$|\$(?=[^$\n]*[\\^_={}+<>])[^\s$](?:[^$\n]*[^\s$])?\$(?!\d)|\$[A-Za-z]'?\$|\$\d[\d.,]*\$",
    r"\\\([^\n]*?\\\)|\\\[[^\n]*?\\\]",
    # Tags, with attributes or without.
    r"</?[A-Za-z][^<>\s]*\s?/?>",
    r"<[A-Za-z][\w:-]*(?:\s+[\w:-]+\s*=\s*(?:\"[^\"<>]*\"|'[^'<>]*'|[^\s\"'<>]+))+\s*/?>",
    # Fields to fill in.
    r"\{\{[^{}\n]*\}\}|\{[^{}\s]*\}|%[sd]\b",
    # Addresses.
    r"\b[a-z]+://[^\s<>]*[^\s<>.,;:!?)'\"]|\bwww\.[^\s<>]*[^\s<>.,;:!?)'\"]|(?<![\w.+-])[\w.+-]+@[\w-]+\.[\w.-]*\w",
)
# What it may not lose.
_KEPT = (
    r"`[^`\n]+`",  # code
    r"(?<![^\s\\])[^\s\\]*\\[^\s]*[^\s.,;:!?)]",  # macros, paths and patterns with a backslash
    # Equations without dollar signs. One term must be a letter: the numbers of a sum may be written
    # otherwise in another language.
    rf"(?<![\w.,])(?:{_NUMBER}{_SIGN}){{0,9}}{_LETTER}(?:{_SIGN}{_TERM})+(?!\w)",
    rf"(?<![\w.,])(?:{_NUMBER}{_SIGN}){{1,9}}{_LETTER}(?!\w)",
    r"(?<!\w)[A-Za-z0-9]+(?:[\^_]\{?[A-Za-z0-9]+\}?)+",  # x_1, y^2, names with underscores
    r"(?<![\w-])--[A-Za-z][\w-]*",  # options of commands
    r"(?<![\w.])[A-Za-z_][\w.]*\((?:\d[^()\n]*|\"[^()\n]*|'[^()\n]*|)\)",  # calls: range(3)
    # A capital letter by itself is a symbol. The vowels and Y may be words, so these only where no word
    # stands: in brackets, as an option, at the end of a clause.
    r"(?<![\w.'’&/-])[B-DF-HJ-NP-TV-XZ](?![\w'’&/-])",
    r"(?<=[(\[])[AEIOUY](?=[)\]])|(?<=[)\]] )[AEIOUY](?=[;.])|(?<=\w )[AEOUY](?=[?,;:])",
)
# Without groups, since this expression is embedded in others.
PLACEHOLDER = re.compile("|".join(_FIXED + _KEPT))
_FIXED_PLACEHOLDER = re.compile("|".join(_FIXED))
# Two letters in a row, or one of a script whose letters are words.
_WORD = re.compile(r"[^\W\d_]{2}")
ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});")


def has_words(text: str) -> bool:
    """Whether there is anything to translate: a word that is no placeholder."""
    left = PLACEHOLDER.sub(" ", text)
    return bool(_WORD.search(left)) or any(
        letter.isalpha() and letter.lower() == letter.upper() for letter in left
    )


def placeholders_differ(source: str, target: str) -> bool:
    """Whether ``target`` lost a placeholder of ``source``, or has a tag, field, formula or address more."""
    kept = Counter(PLACEHOLDER.findall(target))
    rest = PLACEHOLDER.sub(" ", target)
    for text, count in Counter(PLACEHOLDER.findall(source)).items():
        # In other surroundings the same letters need not look like a placeholder.
        inside = (r"(?<!\w)" if text[0].isalnum() else "", r"(?!\w)" if text[-1].isalnum() else "")
        if kept[text] + len(re.findall(re.escape(text).join(inside), rest)) < count:
            return True
    fixed = (Counter(_FIXED_PLACEHOLDER.findall(text)) for text in (source, target))
    return next(fixed) != next(fixed)


def undo_entities(text: str) -> str:
    """``text`` with its HTML entities (``&quot;``) as characters, except in code."""
    if "&" not in text:
        return text
    # split() puts the code at odd indices.
    pieces = re.split(r"(```.*?(?:```|\Z)|`[^`\n]+`)", text, flags=re.S)
    return "".join(
        piece if number % 2 else ENTITY.sub(_character, piece) for number, piece in enumerate(pieces)
    )


def _character(entity: re.Match[str]) -> str:
    found = html.unescape(entity[0])
    # A line break or a control character would change the form of the text.
    return found if found.isprintable() or found == "\u00a0" else entity[0]
