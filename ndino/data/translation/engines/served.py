"""Translate with a model behind an OpenAI-compatible endpoint, such as vLLM or llama.cpp."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

import httpx
import tenacity

from ndino.common.errors import UsageError, reason_of, shown
from ndino.common.parsing import parse_json
from ndino.data.errors import DataError
from ndino.data.translation.engines.request import TranslationRequest, most_tokens
from ndino.languages.language import Language

# The key is only read from here, and sent; no file, manifest or message holds it. Not OPENAI_API_KEY: a key
# that is there for another service must not be sent to any server that a command line names.
KEY_VARIABLE = "NDINO_TRANSLATOR_KEY"
# Answers that say "later"; all of 5xx are tried again too.
LATER = {408, 409, 425, 429}
REFUSED_KEY, UNKNOWN, REFUSED_TEXT = {401, 403}, {404}, {400, 413, 422}
LONGEST_PAUSE = 60.0
SERVED_BY = "vllm serve MODEL, or llama-server -m MODEL.gguf"


class _Later(Exception):
    """A failure that may pass, with the seconds that the server asks for."""

    def __init__(self, reason: str, seconds: float | None = None) -> None:
        super().__init__(reason)
        self.seconds = seconds


class _Refused(Exception):
    """The server accepts no such request."""


class ServedModel:
    """Translates with ``model``, as the server at ``url`` names it; temperature 0.

    A batch is sent as ``requests`` requests at a time. Too many requests, server errors, timeouts and broken
    connections are tried again after growing pauses, or after the time that the server asks for.

    Args:
        url: the base of the endpoint, such as ``http://node7:8000/v1``.
        attempts: for one text, the first included.
        pause: seconds before the second attempt; doubled for each further one, up to `LONGEST_PAUSE`.
        timeout: seconds to wait for an answer.

    Raises:
        UsageError: ``url`` is no web address.
    """

    def __init__(
        self,
        url: str,
        model: str,
        source: Language,
        target: Language,
        *,
        requests: int,
        attempts: int = 8,
        pause: float = 1.0,
        timeout: float = 600.0,
    ) -> None:
        self._url = _address(url)
        self._model = model
        self._request = TranslationRequest(source, target)
        self._requests, self._attempts, self._pause, self._timeout = requests, attempts, pause, timeout
        self._checked = False
        self.identity = (
            f"served {model}, {source.code} to {target.code}, prompt {self._request.identity}, temperature 0"
        )

    def translate(self, texts: Sequence[str]) -> list[str | None]:
        """Translations in order; None for one that did not come to its end, or that the server refuses.

        Raises:
            DataError: the server is not there, does not know the model or the key, fails again and again, or
                answers with reasoning and no text.
        """
        stopped = threading.Event()
        with self._client() as client, ThreadPoolExecutor(self._requests) as pool:
            if not self._checked:
                self._check(client)
                self._checked = True
            waiting = [pool.submit(self._translated, client, text, stopped) for text in texts]
            try:
                for future in as_completed(waiting):
                    future.result()  # the first failure, not the first text's: others were told to stop
            except BaseException:
                stopped.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
            return [future.result() for future in waiting]

    def _client(self) -> httpx.Client:
        key = _key()
        return httpx.Client(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(self._timeout, connect=10.0),
            limits=httpx.Limits(max_connections=self._requests, max_keepalive_connections=self._requests),
        )

    def _check(self, client: httpx.Client) -> None:
        """Refuse a server that is not there or serves another model: llama.cpp ignores the model's name."""
        try:
            answer = client.get(f"{self._url}/models")
        except httpx.HTTPError as error:
            raise DataError(
                f"{self._url}: no server answers: {reason_of(error)} "
                f"(remedy: start it, as {SERVED_BY}, or correct --translator-url)"
            ) from error
        if answer.status_code in REFUSED_KEY:
            raise self._unknown_key(answer)
        if answer.is_success and "html" in answer.headers.get("Content-Type", ""):
            raise DataError(
                f"{self._url}/models: answers with a web page "
                "(remedy: --translator-url is the address before /chat/completions, mostly .../v1)"
            )
        names: list[str] = []
        with contextlib.suppress(ValueError, KeyError, TypeError):  # not every server lists its models
            names = [str(one["id"]) for one in parse_json(answer.content)["data"]]
        if names and self._model not in names:
            raise DataError(
                f"{self._url}: serves {shown(', '.join(names))}, not {self._model!r} "
                f"(remedy: --translator-model {names[0]})"
            )

    def _translated(self, client: httpx.Client, text: str, stopped: threading.Event) -> str | None:
        if stopped.is_set():
            return None  # not read any more: another text has ended the run
        try:
            return self._answer(client, text, stopped)
        except BaseException:
            # Here, not where the results are read: this thread would begin the next text before that.
            stopped.set()
            raise

    def _answer(self, client: httpx.Client, text: str, stopped: threading.Event) -> str | None:
        try:
            return self._patiently(client, text, stopped)
        except _Refused as error:
            # A text may be too long for the model. A server that refuses a plain one too refuses all.
            try:
                self._patiently(client, "a", stopped)
            except _Refused:
                raise DataError(
                    f"{self._url}: refuses to translate: {error} "
                    "(remedy: a model with a chat template that takes one message of the user)"
                ) from error
            return None

    def _patiently(self, client: httpx.Client, text: str, stopped: threading.Event) -> str | None:
        tries = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self._attempts) | tenacity.stop_when_event_set(stopped),
            wait=self._wait,
            retry=tenacity.retry_if_exception_type(_Later),
            sleep=tenacity.sleep_using_event(stopped),
            reraise=True,
        )
        try:
            return tries(self._once, client, text)
        except _Later as error:
            raise DataError(
                f"{self._url}: {error}, in {tries.statistics['attempt_number']} attempts "
                "(remedy: look at the server, then rerun to resume; fewer --translator-requests spare it)"
            ) from error

    def _wait(self, state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.seconds if isinstance(error, _Later) else None
        grown = tenacity.wait_exponential_jitter(initial=self._pause, jitter=self._pause)(state)
        return min(grown if asked is None else asked, LONGEST_PAUSE)

    def _once(self, client: httpx.Client, text: str) -> str | None:
        body = {
            "model": self._model,
            "messages": [{"role": "user", "content": self._request.prompt(text)}],
            "temperature": 0,
            "max_tokens": most_tokens(text),
        }
        try:
            answer = client.post(f"{self._url}/chat/completions", json=body)
        except httpx.RequestError as error:
            raise _Later(reason_of(error)) from error
        status = answer.status_code
        if status in LATER or status >= 500:
            raise _Later(_said(answer), _seconds(answer))
        if status in REFUSED_KEY:
            raise self._unknown_key(answer)
        if status in REFUSED_TEXT:
            raise _Refused(_said(answer))
        if not answer.is_success:
            raise DataError(
                f"{self._url}: {_said(answer)} (remedy: --translator-url is the address before "
                "/chat/completions, mostly .../v1; --translator-model the name that the server lists)"
            )
        try:
            (choice,) = parse_json(answer.content)["choices"]
            message, end = choice["message"], choice["finish_reason"]
            said = message["content"]
            if not isinstance(said, str | None):
                raise TypeError("a text that is none")
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{self._url}: answers with no chat completion: {shown(answer.text)} "
                "(remedy: an OpenAI-compatible endpoint for --translator-url)"
            ) from error
        if end == "content_filter":
            return None
        if not said and (said is None or message.get("reasoning_content") or message.get("reasoning")):
            # Not a verdict on the text: a model that reasons first does so for other texts too.
            raise DataError(
                f"{self._url}: answers without text: content is {shown(repr(said))}, "
                f"finish_reason {shown(repr(end))} (remedy: switch off reasoning at the server, or "
                "serve another model; then rerun to resume)"
            )
        return None if end == "length" else said

    def _unknown_key(self, answer: httpx.Response) -> DataError:
        key = "with the key in" if _key() else "without a key in"
        return DataError(
            f"{self._url}: {_said(answer)}, {key} the environment variable {KEY_VARIABLE} "
            f"(remedy: export {KEY_VARIABLE} with the server's key)"
        )


def _key() -> str:
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not (key.isascii() and key.isprintable()):
        # Without the key itself, which httpx would show.
        raise UsageError(f"{KEY_VARIABLE}: holds characters that no key has (remedy: export it again)")
    return key


def _address(url: str) -> str:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL()
    # Not shown: messages are kept, and a password must not be.
    if parsed.userinfo or parsed.query or parsed.fragment:
        raise UsageError(
            f"--translator-url: holds a password, a ? or a # (remedy: the plain address; keys are read from "
            f"the environment variable {KEY_VARIABLE})"
        )
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise UsageError(
            f"--translator-url {shown(url)}: not a web address (remedy: as in http://localhost:8000/v1)"
        )
    return url.rstrip("/")


def _said(answer: httpx.Response) -> str:
    """Status and message of an error, in whichever of the usual forms the server sends it."""
    said: Any = answer.text
    with contextlib.suppress(ValueError):
        said = parse_json(answer.content)
    for name in ("error", "message", "detail"):
        if isinstance(said, dict) and name in said:
            said = said[name]
    text = " ".join(str(said or answer.reason_phrase).split())
    # Servers name the key that they refuse.
    return f"HTTP {answer.status_code}: {shown(text.replace(key, '…') if (key := _key()) else text)}"


def _seconds(answer: httpx.Response) -> float | None:
    asked = answer.headers.get("Retry-After", "").strip()
    return float(asked) if asked.isdecimal() else None
