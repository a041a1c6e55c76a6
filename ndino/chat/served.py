"""A model behind an OpenAI-compatible server (vLLM, llama.cpp, a cloud), asked token by token."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx

from ndino.chat.errors import ChatError
from ndino.chat.models import Progress, Prompt
from ndino.common.endpoint import ChatEndpoint, Wording
from ndino.common.endpoint.address import (
    authorization,
    is_on_this_machine,
    split_address,
    without_key,
)
from ndino.common.endpoint.chat import (
    LARGEST_ANSWER,
    LATER,
    LIMIT,
    NEWER_LIMIT,
    PAY,
    REFUSED_KEY,
    REFUSED_REQUEST,
    SHOWN_MESSAGE,
    UNPAID,
)
from ndino.common.endpoint.client import CONNECT_SECONDS
from ndino.common.endpoint.replies import HttpAnswer, NoReplyError, reply_of, said_in, tokens_of
from ndino.common.errors import shown
from ndino.common.images import data_url
from ndino.common.parsing import parse_json
from ndino.evaluation.models import ENDPOINT_KEY

# Seconds for an answer. Nothing tells a server that hangs from a slow one that reads the image; whoever asked
# sees that nothing comes, and can stop it.
WHOLE = 600.0
_DATA, _DONE = b"data:", b"[DONE]"
# Asks for the number of tokens, since a part of a stream may hold several. Not every server knows it.
_USAGE = "stream_options"


class ServerModel:
    """The model of a server; its own limits and queue are the server's business.

    Args:
        source: ``URL#MODEL``, or the address alone.

    Raises:
        ChatError: the server is not there, refuses the key, or serves another model.
    """

    local = False

    def __init__(self, source: str) -> None:
        address, model = split_address(source, "the address", ENDPOINT_KEY)
        wording = Wording(
            url="the address",
            model="the address with # and",
            requests="fewer models",
            key=ENDPOINT_KEY,
            refuses="a question",
            able="serve a model that takes images",
            error=ChatError,
        )
        self._endpoint = ChatEndpoint(address, model, wording, {}, requests=1)
        self._endpoint.check()

    def answer(self, prompt: Prompt, show: Callable[[Progress], None]) -> bool:
        body: dict[str, Any] = {
            "model": self._endpoint.model,
            "messages": _messages(prompt),
            "temperature": 0,
            "stream": True,
            _USAGE: {"include_usage": True},
            LIMIT: prompt.max_new_tokens,
        }
        try:
            while True:
                try:
                    return self._answer(body, show)
                except _RefusedFieldError as refused:
                    value = body.pop(refused.field)
                    if refused.field == LIMIT:
                        body[NEWER_LIMIT] = value
        except httpx.TimeoutException as error:
            raise self._error(f"no answer within {WHOLE:g} seconds", "look at the server") from error
        except httpx.HTTPError as error:
            raise self._error(f"the answer broke off: {self._shown(str(error))}", "ask again") from error

    def _answer(self, body: Mapping[str, Any], show: Callable[[Progress], None]) -> bool:
        client = httpx.Client(
            headers=authorization(ENDPOINT_KEY),
            timeout=httpx.Timeout(WHOLE, connect=CONNECT_SECONDS),
            trust_env=not is_on_this_machine(self._endpoint.url),
        )
        # A server may read the image and the question before it sends anything.
        start = time.monotonic()
        with client, client.stream("POST", f"{self._endpoint.url}/chat/completions", json=body) as reply:
            if not reply.is_success or "event-stream" not in reply.headers.get("Content-Type", ""):
                return self._whole(reply, body, start, show)
            return self._streamed(reply, start, show)

    def _streamed(self, reply: httpx.Response, start: float, show: Callable[[Progress], None]) -> bool:
        first, last, tokens, end = None, start, 0, None
        for event in self._events(reply, start + WHOLE):
            if event is None:
                end = end or "stop"
                break
            if event.get("error"):
                raise self._error(self._shown(said_in(event)), "look at the server, then ask again")
            choice = next(iter(event.get("choices") or []), {})
            end = choice.get("finish_reason") or end
            delta = choice.get("delta") or {}
            # A model that reasons first is at work, too.
            if delta.get("content") or delta.get("reasoning_content"):
                last = time.monotonic()
                first = first or last
                tokens += 1
                show(Progress(delta.get("content") or "", tokens, last - first, first - start))
            counted = tokens_of(event)
            if first is not None and counted is not None:
                show(Progress("", tokens := counted[1], last - first, first - start))
        if end is None:
            raise self._error("the answer broke off", "ask again")
        return end != "length"

    def _events(self, reply: httpx.Response, deadline: float) -> Iterator[dict[str, Any] | None]:
        """The events of a stream; None for its end."""
        rest, size = b"", 0
        for part in reply.iter_bytes():
            size += len(part)
            if size > LARGEST_ANSWER or time.monotonic() > deadline:
                raise self._error(f"no end within {WHOLE:g} seconds or {LARGEST_ANSWER:,} bytes", "ask again")
            *lines, rest = (rest + part).split(b"\n")
            for line in lines:
                content = line.strip().removeprefix(_DATA).strip()
                if not line.startswith(_DATA) or not content:
                    continue
                if content == _DONE:
                    yield None
                    return
                try:
                    event = parse_json(content)
                except ValueError:
                    event = None
                if not isinstance(event, dict):
                    raise self._error(
                        f"an event that is no JSON: {self._shown(content.decode(errors='replace'))}",
                        "an OpenAI-compatible server",
                    )
                yield event

    def _whole(
        self, reply: httpx.Response, body: Mapping[str, Any], start: float, show: Callable[[Progress], None]
    ) -> bool:
        """What is no stream: an error, a web page, or a server that streams nothing."""
        content = bytearray()
        for part in reply.iter_bytes():
            content += part
            if len(content) > LARGEST_ANSWER:
                break
        whole = bytes(content[:LARGEST_ANSWER])
        answer = HttpAnswer(reply.status_code, reply.headers, whole, reply.reason_phrase)
        said = f"HTTP {answer.status}: {self._shown(answer.message())}"
        if answer.status in REFUSED_KEY:
            raise self._error(said, f"export {ENDPOINT_KEY} with the server's key, and start again")
        if answer.status in REFUSED_REQUEST:
            for field, named in ((_USAGE, _USAGE), (LIMIT, NEWER_LIMIT)):
                if field in body and named in answer.message():
                    raise _RefusedFieldError(field)
        if not answer.is_success or answer.is_web_page:
            raise self._error(said, _remedy(answer))
        try:
            found = reply_of(answer)
        except NoReplyError as error:
            raise self._error(f"no answer of a model: {self._shown(str(error))}", "ask again") from error
        tokens = found.tokens[1] if found.tokens else 1
        show(Progress(found.text or "", tokens, 0.0, time.monotonic() - start))
        return found.end != "length"

    def _error(self, what: str, remedy: str) -> ChatError:
        return ChatError(f"{self._endpoint.url}: {what} (remedy: {remedy})")

    def _shown(self, text: str) -> str:
        return shown(without_key(text, ENDPOINT_KEY), SHOWN_MESSAGE)


class _RefusedFieldError(Exception):
    """The server does not take a field of the request, by this name."""

    def __init__(self, field: str) -> None:
        super().__init__(field)
        self.field = field


def _remedy(answer: HttpAnswer) -> str:
    if answer.status >= 500:
        return "look at the server, then ask again"
    if answer.status in LATER:
        return "ask again in a while"
    if answer.status == UNPAID:
        return f"{PAY}, and start again"
    if answer.status in REFUSED_REQUEST:
        return "correct the model's name behind #, or what else the server names"
    return "give the address before /chat/completions, mostly .../v1, # and the server's name of the model"


def _messages(prompt: Prompt) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = [
        {"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate(prompt.texts)
    ]
    if prompt.image is not None:
        url = data_url(prompt.image, "PNG", compress_level=1)
        shown_image = {"type": "image_url", "image_url": {"url": url}}
        messages[0]["content"] = [shown_image, {"type": "text", "text": messages[0]["content"]}]
    return messages
