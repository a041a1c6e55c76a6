"""Placeholders: text that is no prose, which a translation must not change; and HTML entities."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache

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
    r"[∠△▵⊙]\s?[A-Z]{1,6}(?!\w)|(?<!\w)[A-Z]{2,4}(?=\s?[=≅∥⊥])",  # angle ABC, AB = 5
    # A capital letter by itself is a symbol. The vowels and Y may be words, so these only where no word
    # stands: in brackets, as an option, at the end of a clause.
    r"(?<![\w.'’&/-])[B-DF-HJ-NP-TV-XZ](?![\w'’&/-])",
    r"(?<=[(\[])[AEIOUY](?=[)\]])|(?<=[)\]] )[AEIOUY](?=[;.])|(?<=\w )[AEOUY](?=[?,;:])",
)
# Without groups, since this expression is embedded in others.
PLACEHOLDER = re.compile("|".join(_FIXED + _KEPT))
_FIXED_PLACEHOLDER = re.compile("|".join(_FIXED))
_LABEL = re.compile(r"(?<!\w)[A-Z]+'?\d?(?!\w)")
# Two letters in a row, or one of a script whose letters are words.
_WORD = re.compile(r"[^\W\d_]{2}")
ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});")


@lru_cache(maxsize=256)
def without_placeholders(text: str) -> str:
    """``text`` with a blank for each placeholder. Kept, since a dozen checks ask for the same texts."""
    return PLACEHOLDER.sub(" ", text)


def has_words(text: str) -> bool:
    """Whether there is anything to translate: a word that is no placeholder."""
    left = without_placeholders(text)
    # "¹¼" is two word characters that are no digits, but no letters either.
    return any(any(map(str.isalpha, pair)) for pair in _WORD.findall(left)) or any(
        letter.isalpha() and letter.lower() == letter.upper() for letter in left
    )


def labels_pattern(words: Iterable[str], joining: Iterable[str]) -> re.Pattern[str] | None:
    """An expression for the labels of geometry in a text: triangle ABC, sides AB and BC, the CD side.

    Args:
        words: those that labels stand beside, in small letters; none, no labels.
        joining: words that join two labels.
    """
    things = "|".join(f"[{word[0]}{word[0].upper()}]{re.escape(word[1:])}" for word in words if word)
    if not things:
        return None
    join = "|".join(map(re.escape, joining)) or "(?!)"
    joint = rf"(?:,\s*(?:(?:{join})\s+)?|\s+(?:{join})\s+)"
    # I is a word, and before its thing a single letter may be an article: A triangle.
    longer, label = r"[A-Z]{2,6}'?\d?(?!\w)", r"(?:[A-Z]{2,6}|[A-HJ-Z])'?\d?(?!\w)"
    return re.compile(
        rf"(?<!\w)(?:{things})\s+(?P<after>{label}(?:{joint}{label})*)"
        rf"|(?<!\w)(?P<before>{longer}(?:{joint}{longer})*)(?=\s+(?:{things})\b)"
    )


def label_spans(text: str, pattern: re.Pattern[str] | None) -> Iterator[tuple[int, int]]:
    """Where a text has labels, by an expression of `labels_pattern`."""
    for found in pattern.finditer(text) if pattern else ():
        start, end = found.span(found.lastgroup or 0)
        yield from (one.span() for one in _LABEL.finditer(text, start, end))


def placeholders_differ(source: str, target: str, labels: re.Pattern[str] | None = None) -> bool:
    """Whether ``target`` lost a placeholder or one of the ``labels`` of ``source``, or has a tag, field,
    formula or address more."""
    kept = Counter(PLACEHOLDER.findall(target))
    rest = without_placeholders(target)
    wanted = Counter(PLACEHOLDER.findall(source)) | Counter(
        {source[start:end] for start, end in label_spans(source, labels)}
    )
    for text, count in wanted.items():
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
