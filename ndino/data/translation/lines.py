"""Text as lines for a translator that takes no newline, and back: the pieces joined are the text again.

The paper splits at blank lines, then at single newlines, and puts the newlines back (section 3.2): what
stands between two newlines is translated by itself. List markers, indentation and the white space around a
line are not translated either.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

# All that str.splitlines takes for the end of a line.
_BREAK = re.compile(r"([\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+)")
# What a line may begin with and a translator is not to see: indentation and markers of lists.
_HEAD = re.compile(r"\s*(?:(?:[-*+•‣◦–—]|\d{1,3}[.)]|[A-Za-z]\))\s+)*")


@dataclass(frozen=True)
class Piece:
    """A part of a text; ``words`` if a translator is to see it."""

    text: str
    words: bool


def split_lines(text: str) -> list[Piece]:
    """Pieces whose texts joined are ``text``; those with words hold no newline and no white space around."""
    pieces = []
    for number, part in enumerate(_BREAK.split(text)):
        head = "" if number % 2 else _HEAD.match(part)[0]
        words = part[len(head) :].rstrip()
        # split() puts the breaks at the odd places; a line of figures or rules is for no translator either.
        if number % 2 or not any(character.isalpha() for character in words):
            pieces.append(Piece(part, False))
        else:
            pieces += [Piece(head, False), Piece(words, True), Piece(part[len(head) + len(words) :], False)]
    return [piece for piece in pieces if piece.text]


def words_of(pieces: Sequence[Piece]) -> list[str]:
    """The texts for the translator, in order."""
    return [piece.text for piece in pieces if piece.words]


def join_lines(pieces: Sequence[Piece], translated: Sequence[str]) -> str:
    """The text with ``translated``, one for each of `words_of`, in the place of its words."""
    if len(translated) != sum(piece.words for piece in pieces):
        raise ValueError(f"{len(translated)} translations for {len(words_of(pieces))} pieces")
    remaining = iter(translated)
    return "".join(next(remaining) if piece.words else piece.text for piece in pieces)
