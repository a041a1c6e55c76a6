"""Cuts an answer into words and marks, and finds phrases among them. No language's words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

from ndino.languages.text import APOSTROPHES, one_accent, usual_signs

State = TypeVar("State", bound=Hashable)
Result = TypeVar("Result")
Step = tuple[State | None, Result | None]

# The limit keeps reading fast on endless answers.
LONGEST = 2000
NEWLINE = "\n"
_TOKEN = re.compile(r"\n|[^\W_]+'(?=\w)|[^\W_]+|[^\w\s]")
# "e'" and "citta'" are written without their accents; in "'E'" the letter is in quotes.
_TYPED_ACCENT = re.compile(r"(?<=\w[aeiouAEIOU])'(?!\w)|(?<=(?<![\w'])[eE])'(?!\w)")
_EMPHASIS = re.compile(r"\*\*|__|[`«»“”„\"]|(?<!\w)[*_']|[*_](?!\w)|(?<=[\W\d_]\w)'(?!\w)|(?<=^\w)'(?!\w)")
_LATEX = re.compile(r"\\(?:boxed|text|mathrm|textbf)\s*(?=\{)|\$(?=[^$\d]*\$)|(?<=[^\d\s])(?<!US)\$(?!\d)")
_IN_ANGLES = re.compile(r"<([A-Za-z])>")


@dataclass(frozen=True)
class Token:
    """A word, a mark or a line break of an answer.

    Attributes:
        text: as written, without emphasis and quotes.
        key: ``text`` as `fold` makes it.
        glued: nothing stands between it and the token before.
    """

    text: str
    key: str
    start: int
    end: int
    glued: bool

    @property
    def is_word(self) -> bool:
        return self.text[0].isalnum()

    @property
    def is_capital(self) -> bool:
        return len(self.text) == 1 and self.text.isupper()


def fold(word: str) -> str:
    """The form in which words are looked up: small letters, one kind of accent, straight apostrophes."""
    accented = _TYPED_ACCENT.sub("\u0301", word.translate(APOSTROPHES))
    return one_accent(usual_signs(unicodedata.normalize("NFKC", accented))).casefold()


def plain(answer: str) -> str:
    """An answer without emphasis and quotes, cut to `LONGEST` characters; line breaks are kept."""
    text = usual_signs(unicodedata.normalize("NFKC", answer[:LONGEST].translate(APOSTROPHES)))
    text = "".join(c for c in text if unicodedata.category(c) != "Cf")
    text = _TYPED_ACCENT.sub("\u0301", _LATEX.sub("", text))
    text = unicodedata.normalize("NFC", _EMPHASIS.sub("", text))
    lines = (" ".join(line.split()) for line in _IN_ANGLES.sub(r"(\1)", text).splitlines())
    return NEWLINE.join(line for line in lines if line)


def tokens(text: str) -> list[Token]:
    """The tokens of a text that `plain` made."""
    found: list[Token] = []
    for match in _TOKEN.finditer(text):
        glued = bool(found) and found[-1].end == match.start()
        found.append(Token(match[0], fold(match[0]), match.start(), match.end(), glued))
    return found


def follow(ends: dict[State, Result], state: State, step: Callable[[State], Step[State, Result]]) -> Result:
    """Where the walk through an answer's tokens that begins at ``state`` ends.

    A reader asks at every option, and walks from there as far as a clause goes. Walks that meet go on alike,
    so each step is taken once for all of them: reading takes time in proportion to the answer.

    Args:
        ends: of the walks so far, by state.
        step: the next state and no end, or no state and the end.
    """
    passed: list[State] = []
    while state not in ends:
        passed.append(state)
        following, end = step(state)
        if following is None:
            ends[state] = cast("Result", end)
        else:
            state = following
    ends.update(dict.fromkeys(passed, ends[state]))
    return ends[state]


class Phrases:
    """Phrases of one word or more, to be found among tokens."""

    def __init__(self, phrases: Iterable[str]) -> None:
        # With a word behind it, so that an elided word keeps its apostrophe.
        followed = [phrase + ("x" if phrase.endswith("'") else " x") for phrase in phrases]
        keys = {tuple(token.key for token in tokens(plain(phrase))[:-1]) for phrase in followed}
        self._keys = frozenset(keys)
        # Most words neither begin nor end a phrase: looked up first, since readers ask at every word.
        self._firsts, self._lasts = frozenset(key[0] for key in keys), frozenset(key[-1] for key in keys)
        self._lengths = sorted({len(key) for key in keys}, reverse=True)

    def at(self, found: Sequence[Token], start: int) -> int:
        """The number of tokens of the longest phrase that begins at ``start``; 0 if none does."""
        if start >= len(found) or found[start].key not in self._firsts:
            return 0
        return next((n for n in self._lengths if self._is_phrase(found, start, start + n)), 0)

    def before(self, found: Sequence[Token], end: int) -> int:
        """The number of tokens of the longest phrase that ends just before ``end``; 0 if none does."""
        if not end or found[end - 1].key not in self._lasts:
            return 0
        return next((n for n in self._lengths if n <= end and self._is_phrase(found, end - n, end)), 0)

    def _is_phrase(self, found: Sequence[Token], start: int, end: int) -> bool:
        return end <= len(found) and tuple(token.key for token in found[start:end]) in self._keys
