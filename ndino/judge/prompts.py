"""What a judge is asked about an answer, in the language of its task, and how its rating is read."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ndino.common.files import key_of
from ndino.languages.language import language, missing_field

# Ratings are asked from 1 to 3, as LAVE's, and kept as these.
VERDICTS = {"1": 0.0, "2": 0.5, "3": 1.0}
# Part of the keys of verdicts. Raise it when a change of this module changes prompts or the reading of them.
VERSION = 1
# Right answers that are given at most a quarter as often as the most frequent one are left out, as LAVE does.
RARE = 0.25
# The beginnings and ends of control tokens: <|im_end|>, </s>, <｜end▁of▁sentence｜>, [/INST].
_MARKER = re.compile(r"<(?=[|｜/\w])|\[(?=/?[A-Z_]{2,}\])|(?<=[|｜])>")
_THOUGHT = "</think>"
_NUMBER = r"(\d(?:(?:[\d.,-]|\s?/\s?)*\d)?)"
_RATING = re.compile(r"([123])(?:\s?/\s?3)?")


@dataclass(frozen=True)
class JudgedItem:
    """An answer with its question and right answers, of which there is at least one."""

    question: str
    references: tuple[str, ...]
    answer: str


class JudgePrompt:
    """The prompt in the language with this code.

    Raises:
        LanguageError: there is no file for it, or it lacks ``judge_request`` or ``judge_rating``.
    """

    def __init__(self, code: str) -> None:
        words = language(code).words
        for field in ("judge_request", "judge_rating"):
            if not words.get(field):
                raise missing_field(code, field)
        self.code = code
        self._request: str = words["judge_request"]
        self._ratings: list[str] = words["judge_rating"]
        names = "|".join(re.escape(name) for name in self._ratings)
        self._named = re.compile(rf"\b(?:{names})\W{{0,8}}?{_NUMBER}", re.IGNORECASE)
        self._last = re.compile(rf"\W*(?:{names})\W{{0,8}}?{_NUMBER}\W*", re.IGNORECASE)

    @property
    def identity(self) -> str:
        """A key of everything here that verdicts depend on."""
        return key_of(VERSION, self._request, self._ratings)

    def text(self, item: JudgedItem) -> str:
        """The message for an answer. Texts are JSON strings, so that none can end where it does not."""
        text = self._request.format(
            question=_quoted(item.question),
            references=", ".join(map(_quoted, item.references)),
            answer=_quoted(item.answer),
            rating=self._ratings[0],
        )
        return without_markers(text)

    def verdict(self, said: str) -> float | None:
        """The verdict in what a judge wrote: 0, 0.5 or 1; None where no single rating can be read.

        Where ratings differ, as when an answer with one is quoted, one that is the last line alone counts.
        """
        said = _plain_digits(said.rpartition(_THOUGHT)[2]).strip()
        if alone := re.fullmatch(rf"\W*{_NUMBER}\W*", said):
            return _value(alone[1])
        found = {_value(number) for number in self._named.findall(said)}
        if len(found) > 1:
            last = self._last.fullmatch(said.splitlines()[-1])
            found = {_value(last[1])} if last else {None}
        return found.pop() if found else None


def references_of(target: str | Sequence[str]) -> tuple[str, ...]:
    """The right answers that a judge is shown, each once, the most frequent first; empty where none is."""
    texts = [target] if isinstance(target, str) else target
    counts = Counter(text.strip() for text in texts if text.strip())
    most = max(counts.values(), default=0)
    return tuple(text for text, times in counts.most_common() if times > RARE * most)


def without_markers(text: str, tokens: Sequence[str] = ()) -> str:
    """``text`` with a space inside whatever a tokenizer could take for a control token.

    Args:
        tokens: a tokenizer's own, whatever they look like.
    """
    text = _MARKER.sub(lambda found: f" {found[0]}" if found[0] == ">" else f"{found[0]} ", text)
    for token in sorted(tokens, key=len, reverse=True):
        while len(token) > 1 and token in text:
            text = text.replace(token, f"{token[0]} {token[1:]}")
    return text


def _quoted(text: str) -> str:
    return json.dumps(text.strip(), ensure_ascii=False)


def _plain_digits(text: str) -> str:
    return "".join(str(int(sign)) if sign.isdecimal() else sign for sign in text)


def _value(number: str) -> float | None:
    rating = _RATING.fullmatch(number)
    return VERDICTS[rating[1]] if rating else None
