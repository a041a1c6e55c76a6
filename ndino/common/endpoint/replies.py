"""What a server's answer to a request holds, in whichever of the usual forms it is sent."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from ndino.common.endpoint.thoughts import without_thought
from ndino.common.parsing import parse_json


@dataclass(frozen=True)
class HttpAnswer:
    """A whole answer of HTTP.

    Attributes:
        reason: the phrase of its status.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes
    reason: str

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    @property
    def is_web_page(self) -> bool:
        return "html" in self.headers.get("Content-Type", "")

    def message(self) -> str:
        """What it says of an error, on one line, however long."""
        said: Any = self.content.decode(errors="replace")
        with contextlib.suppress(ValueError):
            said = parse_json(self.content)
        return said_in(said) or " ".join(self.reason.split())

    def seconds_to_wait(self) -> float | None:
        """The seconds after which the server wants to be asked again; None where it does not say."""
        asked = self.headers.get("Retry-After", "").strip()
        with contextlib.suppress(ValueError):
            seconds = float(asked)
            return max(seconds, 0.0) if math.isfinite(seconds) else None
        with contextlib.suppress(ValueError, TypeError, OverflowError):
            return max(parsedate_to_datetime(asked).timestamp() - time.time(), 0.0)
        return None


def said_in(answer: Any) -> str:
    """What an answer, or an event of a stream, says of an error, on one line; empty where it says nothing."""
    for name in ("error", "message", "detail"):
        if isinstance(answer, dict) and name in answer:
            answer = answer[name]
    return " ".join(str(answer or "").split())


@dataclass(frozen=True)
class Reply:
    """An answer of the model.

    Attributes:
        text: without thoughts; None where the model did not answer, or the server holds its answer back.
        end: why it ends: ``stop``, ``length``, ``content_filter`` or what else the server says.
        tokens: how many its prompt and the answer have; None where the server does not say.
    """

    text: str | None
    end: str | None
    tokens: tuple[int, int] | None = None


@dataclass(frozen=True)
class Refused:
    """A request that the server does not take, and what it says."""

    said: str


class NoReplyError(Exception):
    """An answer of HTTP that holds none of a model: another form, or reasoning alone. Its text may be long.

    Attributes:
        reasoned: whether it is of the right form, without a text.
    """

    def __init__(self, said: str, *, reasoned: bool = False) -> None:
        super().__init__(said)
        self.reasoned = reasoned


def reply_of(answer: HttpAnswer) -> Reply:
    """The model's answer in a successful one of HTTP.

    Raises:
        NoReplyError: there is none.
    """
    try:
        body = parse_json(answer.content)
        (choice,) = body["choices"]
        message, end = choice["message"], choice["finish_reason"]
        text = message["content"]
        if not isinstance(text, str | None) or not isinstance(end, str | None):
            raise TypeError("a text that is none")
        found = None if text is None else without_thought(text)
    except (ValueError, KeyError, TypeError) as error:
        raise NoReplyError(answer.content.decode(errors="replace") or "an empty body") from error
    if end == "content_filter" or (text is None and message.get("refusal")):
        return Reply(None, "content_filter", tokens_of(body))
    if not found and (text != "" or message.get("reasoning_content") or message.get("reasoning")):
        # Not a verdict on the question: a model that reasons first does so for other questions too.
        said = f"content is {text!r}, finish_reason {end!r}"
        raise NoReplyError(said, reasoned=True)
    return Reply(found, end, tokens_of(body))


def tokens_of(body: Mapping[str, Any]) -> tuple[int, int] | None:
    """How many tokens the prompt and the answer have; None where the server does not say."""
    usage = body.get("usage")
    if not isinstance(usage, dict):
        return None
    counts = usage.get("prompt_tokens"), usage.get("completion_tokens")
    prompt, answer = (count if type(count) is int and count >= 0 else None for count in counts)
    return None if prompt is None or answer is None else (prompt, answer)
