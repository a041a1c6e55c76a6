"""Split a text into lines for a translator that takes no newline, and join them again without loss.

The paper splits at blank lines, then at single newlines, and puts the newlines back (section 3.2), so each
line is translated separately. List markers, indentation and the white space around a line are not translated.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

# Everything that str.splitlines treats as the end of a line.
_BREAK = re.compile(r"([\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+)")
# The beginning of a line that is hidden from the translator: indentation and list markers.
_HEAD = re.compile(r"\s*(?:(?:[-*+•‣◦–—]|\d{1,3}[.)]|[A-Za-z]\))\s+)*")


@dataclass(frozen=True)
class TextPiece:
    """A part of a text; ``words`` is whether it goes to the translator."""

    text: str
    words: bool


def split_lines(text: str) -> list[TextPiece]:
    """The pieces of ``text``, which joined are ``text``; those with words hold no newline or outer space."""
    pieces = []
    for number, part in enumerate(_BREAK.split(text)):
        head = "" if number % 2 else _head_of(part)
        words = part[len(head) :].rstrip()
        # split() puts the line breaks at odd indices. A line without a letter (figures, rules) is not
        # translated either.
        if number % 2 or not any(character.isalpha() for character in words):
            pieces.append(TextPiece(part, False))
        else:
            pieces += [
                TextPiece(head, False),
                TextPiece(words, True),
                TextPiece(part[len(head) + len(words) :], False),
            ]
    return [piece for piece in pieces if piece.text]


def _head_of(line: str) -> str:
    found = _HEAD.match(line)  # matches every line, if need be with nothing
    return found[0] if found else ""


def words_of(pieces: Sequence[TextPiece]) -> list[str]:
    """The texts for the translator, in order."""
    return [piece.text for piece in pieces if piece.words]


def join_lines(pieces: Sequence[TextPiece], translated: Sequence[str]) -> str:
    """The text with its words replaced by ``translated``, which holds one text for each of `words_of`."""
    if len(translated) != sum(piece.words for piece in pieces):
        raise ValueError(f"{len(translated)} translations for {len(words_of(pieces))} pieces")
    remaining = iter(translated)
    return "".join(next(remaining) if piece.words else piece.text for piece in pieces)
