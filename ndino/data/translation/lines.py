"""Split a text into lines for a translator that takes no newline, and join them again without loss.

The paper splits at blank lines, then at single newlines, and puts the newlines back (section 3.2), so each
line is translated separately. List markers, indentation and the white space around a line are not translated,
nor are blocks and lines of code, formulas on lines of their own, and the bars of a table.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# Everything that str.splitlines treats as the end of a line.
_BREAK = re.compile(r"([\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+)")
# A number, a letter or a Roman numeral of a list.
_PLACE = r"(?:\d{1,3}|[A-Za-z]|[ivx]{2,5}|[IVX]{2,5})"
# The beginning of a line that is hidden from the translator: indentation and list markers.
_HEAD = re.compile(rf"\s*(?:(?:[-*+•‣◦–—]|{_PLACE}[.)]|\({_PLACE}\))\s+)*")
# Blocks on lines of their own that are no prose.
_BLOCK = re.compile(
    r"^[ \t]*(?:```.*?(?:^[ \t]*```[^\n]*$|\Z)|\$\$[^$]+\$\$[.,]?[ \t]*$|\\\[.*?\\\][.,]?[ \t]*$"
    r"|\\begin\{(?P<name>\w+\*?)\}.*?\\end\{(?P=name)\}[^\n]*$"
    r"|<(?P<tag>pre|code|script)\b.*?</(?P=tag)>[ \t]*$)",
    re.M | re.S,
)
# A line of code outside a block: the head of a loop, condition or function, an import, an assignment, a call.
_CODE = re.compile(
    r"\s*(?:(?:for|while|if|elif|with|def|class)\b.*\w[(\[].*:"
    r"|import [\w.]+(?: as \w+)?|from [\w.]+ import \w.*"
    r"|(?:return|print|echo)\b ?\(.*\);?|\w[\w.]* = \w*[(\[{\"'].*|#include ?[<\"].*|>>> .*)\s*"
)
_TABLE = re.compile(r"\s*\|.*\|\s*")


@dataclass(frozen=True)
class TextPiece:
    """A part of a text; ``words`` is whether it goes to the translator."""

    text: str
    words: bool


def split_lines(text: str) -> list[TextPiece]:
    """The pieces of ``text``, which joined are ``text``; those with words hold no newline or outer space."""
    pieces, end = [], 0
    for block in _BLOCK.finditer(text):
        pieces += [*_prose(text[end : block.start()]), TextPiece(block[0], False)]
        end = block.end()
    pieces += _prose(text[end:])
    return [piece for piece in pieces if piece.text]


def _prose(text: str) -> Iterator[TextPiece]:
    for number, part in enumerate(_BREAK.split(text)):
        # split() puts the line breaks at odd indices.
        if number % 2 or _CODE.fullmatch(part):
            yield TextPiece(part, False)
        elif _TABLE.fullmatch(part):
            for place, cell in enumerate(re.split(r"(\|)", part)):
                yield from [TextPiece(cell, False)] if place % 2 else _line(cell)
        else:
            yield from _line(part)


def _line(text: str) -> list[TextPiece]:
    head = _head_of(text)
    words = text[len(head) :].rstrip()
    # A line without a letter (figures, rules) is not translated either.
    if not any(character.isalpha() for character in words):
        return [TextPiece(text, False)]
    return [
        TextPiece(head, False),
        TextPiece(words, True),
        TextPiece(text[len(head) + len(words) :], False),
    ]


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
