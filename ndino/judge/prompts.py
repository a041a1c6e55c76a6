"""What a judge is asked about an answer, in the language of its task."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ndino.common.files import key_of
from ndino.judge.ratings import RatingReader
from ndino.languages.language import language, missing_field

# Part of the keys of verdicts. Raise it when a change here changes prompts, or one in `ratings.py` verdicts.
VERSION = 3
# Right answers that are given at most a quarter as often as the most frequent one are left out, as LAVE does.
RARE = 0.25
# The beginnings and ends of control tokens: <|im_end|>, </s>, <｜end▁of▁sentence｜>, [/INST].
_MARKER = re.compile(r"<(?=[|｜/\w])|\[(?=/?[A-Z_]{2,}\])|(?<=[|｜])>")


@dataclass(frozen=True)
class JudgedItem:
    """An answer with its question and right answers, of which there is at least one."""

    question: str
    references: tuple[str, ...]
    answer: str


class JudgePrompt:
    """The prompt in the language with this code; ``verdict`` reads what a judge wrote to it.

    Attributes:
        reminder: asks a judge that has given its reason alone for the rating.

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
        self._denials: list[str] = words.get("reading", {}).get("denials", [])
        self.reminder = f"{self._ratings[0]} (1, 2, 3)?"
        self.verdict = RatingReader(self._ratings, self._denials).read

    @property
    def identity(self) -> str:
        """A key of everything here that verdicts depend on."""
        return key_of(VERSION, self._request, self._ratings, self._denials)

    def text(self, item: JudgedItem) -> str:
        """The message for an answer. Texts are JSON strings, so that none can end where it does not."""
        text = self._request.format(
            question=_quoted(item.question),
            references=", ".join(map(_quoted, item.references)),
            answer=_quoted(item.answer),
            rating=self._ratings[0],
        )
        return without_markers(text)


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
