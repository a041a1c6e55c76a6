"""Ask a model behind an OpenAI-compatible server, several requests at a time, until each has its answer."""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any

import httpx

from ndino.common.endpoint.address import checked_address, read_key, without_key
from ndino.common.endpoint.background import in_background
from ndino.common.endpoint.client import failure_of, new_client
from ndino.common.endpoint.pace import Pace
from ndino.common.endpoint.replies import HttpAnswer, NoReplyError, Refused, Reply, reply_of
from ndino.common.errors import SHOWN_VALUE, UserError, shown
from ndino.common.parsing import parse_json

# What a request asks for, without the model's name: `messages`, `max_tokens`, and `stop` if it has any.
Request = dict[str, Any]

# Answers that say "later"; all of 5xx are tried again too.
LATER, TOO_MANY = {408, 409, 425, 429}, 429
REFUSED_KEY, UNPAID, REFUSED_REQUEST = {401, 403}, 402, {400, 413, 422}
LONGEST_PAUSE = 60.0
CHECK_SECONDS = 30.0  # for the list of models, which costs a server nothing
LAST_SECONDS = 10.0  # for the answers that are on their way when another request has failed
LARGEST_ANSWER = 16 * 2**20  # bytes
SERVED_BY = "vllm serve MODEL, or llama-server -m MODEL.gguf"
PAY = "pay for the account that the key is of, or take another key"
SHOWN_MESSAGE = 300  # characters of what a server says: it may name a path before the reason
# Newer models of OpenAI refuse `max_tokens` and name what they take in place of it.
LIMIT, NEWER_LIMIT = "max_tokens", "max_completion_tokens"


@dataclass(frozen=True)
class Wording:
    """What a command calls its options and its work, for messages.

    Attributes:
        url, model, requests: options that name the address, the model, and how many requests are sent at a
            time.
        key: the environment variable with the key.
        refuses: what a server refuses that takes no request at all, such as ``to translate``.
        able: the remedy for that.
        error: the errors to raise.
    """

    url: str
    model: str
    requests: str
    key: str
    refuses: str
    able: str
    error: type[UserError]


@dataclass(frozen=True)
class Patience:
    """How often and how long a request is tried.

    Attributes:
        attempts: for one request, the first included.
        pause: seconds before the second attempt; doubled for each further one, up to `LONGEST_PAUSE`.
        timeout: seconds without any answer, after which the server hangs, and is given up. As long as it
            answers others, a request waits for its turn; if it alone is left for so long, it is sent again.
        quiet: seconds without any answer, after which that is said.
    """

    attempts: int = 8
    pause: float = 1.0
    timeout: float = 600.0
    quiet: float = 60.0


class _Later(Exception):
    """A failure that may pass, with the seconds that the server asks for."""

    def __init__(self, reason: str, seconds: float | None = None, *, too_many: bool = False) -> None:
        super().__init__(reason)
        self.seconds, self.too_many = seconds, too_many


class ChatEndpoint:
    """Asks ``model``, as the server at ``url`` names it; temperature 0 unless a request says otherwise.

    Too many requests, server errors and broken connections are tried again after growing pauses, or after the
    time that the server asks for; for a server that is silent see `Patience`. Redirects are not followed: the
    key is for this address.

    Args:
        url: the base of the endpoint, such as ``http://node7:8000/v1``.
        plain: the smallest request of its kind. A server that refuses it too refuses all.
        requests: the largest number at a time.
        notice: gets a line when there is no answer yet after a while, and when a request is tried again for
            the first time, since both may take long.

    Raises:
        UsageError: ``url`` is no web address.
    """

    def __init__(
        self,
        url: str,
        model: str,
        wording: Wording,
        plain: Request,
        *,
        requests: int,
        patience: Patience | None = None,
        notice: Callable[[str], object] = lambda line: None,
    ) -> None:
        self.url = checked_address(url, wording.url, wording.key)
        self.model = model
        # What the server says of the model in its list of models, where it says anything.
        self.listed: dict[str, str] = {}
        self._wording, self._plain, self._requests = wording, plain, requests
        self._patience = patience or Patience()
        self._notice, self._noticed = notice, False
        self._checked = False
        self._limit = LIMIT
        self._last_answer = -math.inf  # by the monotonic clock
        self._too_many = ""  # what the server said of a limit on the rate, since its last answer

    def check(self) -> None:
        """Check that the server is there, takes the key and has the model; done before the first request.

        Raises:
            UserError: it does not, by `Wording.error`.
        """
        in_background(lambda give: self._check_once(), lambda nothing: None)

    def ask(
        self, requests: Sequence[Callable[[], Request]], take: Callable[[int, Reply | Refused], object]
    ) -> None:
        """Ask all requests; the first failure, also one of ``take``, ends all of them.

        Args:
            requests: each makes a request, in another thread, when it is its turn to be sent.
            take: gets a request's place and its reply, or that it is refused, as soon as that is there.

        Raises:
            UserError: the server is not there, does not know the model or the key, fails again and again, or
                gives no answers of a model; by `Wording.error`.
        """
        failures: list[Exception] = []
        failed = threading.Event()

        def taken(found: tuple[int, Reply | Refused]) -> None:
            try:
                take(*found)
            except Exception as error:
                failures.append(error)
                failed.set()

        in_background(lambda give: self._ask(requests, give, failed), taken)
        if failures:
            raise failures[0]

    async def _ask(
        self,
        requests: Sequence[Callable[[], Request]],
        give: Callable[[tuple[int, Reply | Refused]], None],
        failed: threading.Event,
    ) -> None:
        await self._check_once()
        pace, places = Pace(self._requests), iter(range(len(requests)))

        async def work(client: httpx.AsyncClient) -> None:
            for place in places:
                if failed.is_set():
                    return
                request = await asyncio.to_thread(requests[place])
                give((place, await self._patiently(client, pace, request, failed)))

        async def watch() -> None:
            before = None
            while before != self._last_answer:
                before = self._last_answer
                await asyncio.sleep(self._patience.quiet)
            says = f" ({self._too_many})" if self._too_many else ""
            self._notice(
                f"{self.url}: no answer within {self._patience.quiet:g} seconds{says}; "
                f"waiting, for {self._patience.timeout:g} at most"
            )

        async with self._client() as client:
            watching = asyncio.create_task(watch())
            workers = [asyncio.create_task(work(client)) for _ in range(min(self._requests, len(requests)))]
            try:
                ended, others = await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
                if others:
                    # Answers that are on their way may be paid for.
                    failed.set()
                    await asyncio.wait(others, timeout=LAST_SECONDS)
            finally:
                for task in (watching, *workers):
                    task.cancel()
                await asyncio.gather(watching, *workers, return_exceptions=True)
        for worker in ended:
            worker.result()

    def _client(self) -> httpx.AsyncClient:
        return new_client(self.url, self._wording.key, self._requests)

    async def _check_once(self) -> None:
        if self._checked:
            return
        try:
            async with self._client() as client:
                answer = await asyncio.wait_for(self._sent(client, "GET", "/models"), CHECK_SECONDS)
        except (httpx.HTTPError, asyncio.TimeoutError) as error:
            raise self._error(
                f"no server answers: {failure_of(error, CHECK_SECONDS)}",
                f"start it, as {SERVED_BY}, or correct {self._wording.url}",
            ) from error
        self._require_taken(answer, "/models")
        if answer.is_success and answer.is_web_page:
            raise self._error("answers with a web page", self._base_remedy, path="/models")
        found: dict[str, dict[str, Any]] = {}
        with contextlib.suppress(ValueError, KeyError, TypeError):  # not every server lists its models
            found = {str(one["id"]): one for one in parse_json(answer.content)["data"]}
        # llama.cpp ignores the model's name, and lists one. A cloud takes names that it does not list.
        if len(found) == 1 and self.model not in found:
            (name,) = found
            raise self._error(f"serves {shown(name)}, not {self.model!r}", f"{self._wording.model} {name}")
        about = found.get(self.model, {})
        self.listed = {name: self._shown(str(value)) for name, value in about.items() if value}
        self._checked = True

    async def _patiently(
        self, client: httpx.AsyncClient, pace: Pace, request: Request, failed: threading.Event
    ) -> Reply | Refused:
        found = await self._tried(client, pace, request, failed)
        # A request may be too long for the model.
        if isinstance(found, Refused) and isinstance(
            await self._tried(client, pace, self._plain, failed), Refused
        ):
            raise self._error(f"refuses {self._wording.refuses}: {found.said}", self._wording.able)
        return found

    async def _tried(
        self, client: httpx.AsyncClient, pace: Pace, request: Request, failed: threading.Event
    ) -> Reply | Refused:
        failures = attempts = 0
        since = time.monotonic()  # the first attempt, or one after which others were answered
        while True:
            began = time.monotonic()
            attempts += 1
            try:
                async with pace.turn():
                    found = await self._once(client, request)
                self._last_answer, self._too_many = time.monotonic(), ""
                pace.answered()
                return found
            except _Later as error:
                if self._last_answer >= since:
                    since = time.monotonic()
                elif time.monotonic() - since >= self._patience.timeout:
                    raise self._error(
                        f"{error}; nothing else was answered either",
                        f"start the server again, or lower {self._wording.requests} if it is slow; "
                        "then rerun to resume",
                    ) from error
                if error.too_many:
                    self._too_many = str(error)
                    pace.too_many()
                if error.seconds is not None:
                    pace.nothing_for(min(error.seconds, LONGEST_PAUSE))
                # Where others are answered meanwhile, a limit on the rate is no failure of this request.
                failures += not error.too_many or self._last_answer < began
                if failures >= self._patience.attempts or failed.is_set():
                    raise self._error(
                        f"{error}, in {attempts} attempts",
                        f"look at the server, then rerun to resume; lower {self._wording.requests} spares it",
                    ) from error
                if not self._noticed and not error.too_many:
                    self._noticed = True
                    self._notice(f"{self.url}: {error}; asked again, {self._patience.attempts} times at most")
                if error.seconds is None:
                    grown = self._patience.pause * (2 ** max(failures - 1, 0) + random.random())
                    await asyncio.sleep(min(grown, LONGEST_PAUSE))

    async def _once(self, client: httpx.AsyncClient, request: Request) -> Reply | Refused:
        body = {"model": self.model, "temperature": 0, **request}
        body[self._limit] = body.pop(LIMIT)
        try:
            answer = await self._while_it_answers(self._sent(client, "POST", "/chat/completions", body))
        except (httpx.RequestError, asyncio.TimeoutError) as error:
            raise _Later(failure_of(error, self._patience.timeout)) from error
        if answer.status in LATER or answer.status >= 500:
            too_many = answer.status == TOO_MANY
            raise _Later(self._said(answer), answer.seconds_to_wait(), too_many=too_many)
        self._require_taken(answer)
        if answer.status in REFUSED_REQUEST:
            if self._limit == LIMIT and NEWER_LIMIT in answer.message():
                self._limit = NEWER_LIMIT
                return await self._once(client, request)
            return Refused(self._said(answer))
        if answer.status == UNPAID:
            raise self._error(self._said(answer), f"{PAY}, then rerun to resume")
        if not answer.is_success:
            raise self._error(
                self._said(answer),
                f"{self._base_remedy}; {self._wording.model} the name that the server lists",
            )
        try:
            reply = reply_of(answer)
            return replace(reply, text=reply.text and without_key(reply.text, self._wording.key))
        except NoReplyError as error:
            said = self._shown(str(error))
            if error.reasoned:
                raise self._error(
                    f"answers without text: {said}",
                    "switch off reasoning at the server, or serve another model; then rerun to resume",
                ) from error
            raise self._error(
                f"answers with no chat completion: {said}",
                f"an OpenAI-compatible endpoint for {self._wording.url}",
            ) from error

    async def _while_it_answers(self, sent: Coroutine[Any, Any, HttpAnswer]) -> HttpAnswer:
        """The whole answer to a request; TimeoutError when the server has not answered any for too long.

        What counts is a whole answer: a server may send it byte by byte.
        """
        answer, began = asyncio.ensure_future(sent), time.monotonic()
        try:
            while not answer.done():
                left = max(began, self._last_answer) + self._patience.timeout - time.monotonic()
                if left <= 0:
                    raise asyncio.TimeoutError
                await asyncio.wait([answer], timeout=left)
            return answer.result()
        finally:
            answer.cancel()
            await asyncio.gather(answer, return_exceptions=True)

    async def _sent(
        self, client: httpx.AsyncClient, method: str, path: str, body: Request | None = None
    ) -> HttpAnswer:
        content = bytearray()
        async with client.stream(method, f"{self.url}{path}", json=body) as answer:
            async for part in answer.aiter_bytes():
                content += part
                if len(content) > LARGEST_ANSWER:
                    raise self._error(
                        f"answers with more than {LARGEST_ANSWER // 2**20} MB",
                        f"an OpenAI-compatible endpoint for {self._wording.url}",
                        path=path,
                    )
            return HttpAnswer(answer.status_code, answer.headers, bytes(content), answer.reason_phrase)

    def _require_taken(self, answer: HttpAnswer, path: str = "") -> None:
        """Refuse an answer that says that the key is no key, or that the server is elsewhere."""
        if answer.status in REFUSED_KEY:
            variable = self._wording.key
            key = "with the key in" if read_key(variable) else "without a key in"
            raise self._error(
                f"{self._said(answer)}, {key} the environment variable {variable}",
                f"export {variable} with the server's key",
            )
        if 300 <= answer.status < 400:
            place = self._shown(answer.headers.get("Location", "another address"))
            raise self._error(
                f"HTTP {answer.status}: redirects to {place}",
                f"{self._wording.url} with the address that it leads to, if you trust that server",
                path=path,
            )

    @property
    def _base_remedy(self) -> str:
        return f"{self._wording.url} is the address before /chat/completions, mostly .../v1"

    def _error(self, what: str, remedy: str, *, path: str = "") -> UserError:
        return self._wording.error(f"{self.url}{path}: {what} (remedy: {remedy})")

    def _said(self, answer: HttpAnswer) -> str:
        return f"HTTP {answer.status}: {self._shown(answer.message(), SHOWN_MESSAGE)}"

    def _shown(self, text: str, most: int = SHOWN_VALUE) -> str:
        # The key goes before the text is cut: a part of it is too much.
        return shown(without_key(text, self._wording.key), most)
