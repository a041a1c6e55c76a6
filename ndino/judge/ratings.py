"""Reads the rating in what a judge wrote; what does not name exactly one is not read."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ndino.common.endpoint.thoughts import without_thought
from ndino.languages.tokens import fold

# Ratings are asked from 1 to 3, as LAVE's, and kept as these.
VERDICTS = {"1": 0.0, "2": 0.5, "3": 1.0}
_NUMBER = r"(?<![-−+])(\d(?:(?:[\d.,-]|\s?/\s?)*\d)?)"
_END = r"[^\w?%]*"  # "1?" is doubt, "3 %" another scale
_RATING = re.compile(r"([123])(?:\s?/\s?3)?")
# Another number that belongs to a rating, also on a line of its own: "1 o 2", "1–2", "1 bzw. 2", "3 su 10".
# Two words at most, since the reason may follow: "1, perché la risposta dice 2".
_ANOTHER = re.compile(
    r"(?:[^\w.!?:\n]*(?:[^\W\d_]+\.?[^\w.!?:\n]*){0,2}|\s*\n\W*(?=\d+\W*(?:\n|$)))(\d[\d.,/]*)"
)
_END_OF_CLAUSE = re.compile(r"[^\w\s'’]|\n")
_WORD = re.compile(r"[^\W\d_]+['’]?")


class RatingReader:
    """Reads ratings behind one of ``names``, as in "Voto: 3".

    Args:
        denials: words that deny what follows them in a clause, as in "Non darei il voto 3".
    """

    def __init__(self, names: Iterable[str], denials: Iterable[str]) -> None:
        any_name = "|".join(map(re.escape, names))
        self._named = re.compile(rf"\b(?:{any_name})\W{{0,8}}?{_NUMBER}", re.IGNORECASE)
        self._denials = frozenset(map(fold, denials))

    def read(self, said: str) -> float | None:
        """The verdict in what a judge wrote: 0, 0.5 or 1; None where no single rating can be read.

        Where ratings differ, as when an answer with one is quoted, one that is the last line alone counts.
        """
        said = _plain_digits(without_thought(said) or "").strip()
        if alone := re.fullmatch(rf"\W*?{_NUMBER}{_END}", said):
            return _value(alone[1])
        found = {self._rating(rating) for rating in self._named.finditer(said)}
        if len(found) > 1:
            last = re.fullmatch(rf"\W*{self._named.pattern}{_END}", said.splitlines()[-1], re.IGNORECASE)
            found = {_value(last[1])} if last else {None}
        return found.pop() if found else None

    def _rating(self, rating: re.Match[str]) -> float | None:
        value, said = _value(rating[1]), rating.string
        clause = _END_OF_CLAUSE.split(said[: rating.start()])[-1]
        denied = any(fold(word) in self._denials for word in _WORD.findall(clause))
        doubted = re.compile(r"\s?[?%]").match(said, rating.end()) is not None
        another = _ANOTHER.match(said, rating.end())
        contradicted = another is not None and _value(another[1].rstrip(".,")) != value
        return None if denied or doubted or contradicted else value


def _plain_digits(text: str) -> str:
    return "".join(str(int(sign)) if sign.isdecimal() else sign for sign in text)


def _value(number: str) -> float | None:
    rating = _RATING.fullmatch(number)
    return VERDICTS[rating[1]] if rating else None
