"""Polite HTTP downloads with retries; each ends in the bytes or in one short reason.

Responses that mean "later" (429, 503, and 202, which EUR-Lex sends to programs) are retried after the time
the server asks for, broken transfers and other server errors after a growing pause. Any other refusal (404,
403, ...) is final. The limits per host hold for all threads together.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from html.parser import HTMLParser
from importlib.metadata import version

import httpx
import tenacity

from ndino.common.errors import UsageError, reason_of
from ndino.data.errors import DataError
from ndino.data.io.file_kinds import SNIFF_BYTES, kind_of

WHY_CONTACT = "it is sent to the servers, so that they can reach you"
_STOPPED = "downloading was stopped (remedy: rerun to resume)"
LATER = {202, 429, 503}
REDIRECTS = 5
LONGEST_PAUSE = 3600
_HOST = re.compile(rb"[\w.:~-]+")  # as in httpx: encoded, and without the brackets of IPv6
# This many consecutive failures that retries may fix mean that the network is down or the servers block us.
FAILURES_IN_A_ROW = 20

ContentCheck = Callable[[bytes, str], str | None]


class FetchError(Exception):
    """A failed download.

    Attributes:
        reason: short and stable, so that it can be counted: "HTTP 404", "timed out", "too large", ...
        detail: what is specific to this one: sizes, the server's message.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason} ({detail})" if detail else reason)
        self.reason, self.detail = reason, detail


class SeveralFiles(FetchError):
    """The server has several files under one URL (HTTP 300).

    Attributes:
        links: the URLs of the files, in the server's order.
    """

    def __init__(self, links: tuple[str, ...]) -> None:
        super().__init__("HTTP 300", f"{len(links)} files")
        self.links = links


class _RetryLater(FetchError):
    """A failure to retry, after ``seconds`` if the server gave a time."""

    def __init__(self, reason: str, detail: str = "", seconds: float | None = None) -> None:
        super().__init__(reason, detail)
        self.seconds = seconds


@dataclass(frozen=True)
class Politeness:
    """Limits that spare the servers. All default values except the number of connections are ours.

    Args:
        user_agent: the User-Agent header, see `user_agent`.
        seconds_between: between the starts of two requests to one host.
        connections_per_host: simultaneous transfers; Wikimedia's robot policy allows two.
        attempts: per download, the first one included.
        timeout_seconds: for connecting, for each read, and for the whole transfer.
        max_bytes: per file.
        longest_wait_seconds: upper bound of a pause between attempts, even if the server asks for more.
    """

    user_agent: str
    seconds_between: float = 0.2
    connections_per_host: int = 2
    attempts: int = 5
    timeout_seconds: float = 60.0
    max_bytes: int = 32 * 1024**2
    longest_wait_seconds: float = 300.0


def user_agent(contact: str) -> str:
    """The User-Agent header as Wikimedia's policy wants it: program, version, contact, library.

    Raises:
        DataError: ``contact`` is not an e-mail or web address, or not valid in a header.
    """
    if not re.fullmatch(r"(?=.*[@/])[ -'*-~]+", contact):
        raise UsageError(
            f"--contact {contact!r}: not an e-mail or web address (remedy: give one; {WHY_CONTACT})"
        )
    return f"ndino/{version('ndino')} ({contact}) httpx/{httpx.__version__}"


def add_fetch_arguments(parser: argparse.ArgumentParser, *, seconds_between: float, max_bytes: int) -> None:
    """Add the options that `politeness_from` reads, with a source's own defaults."""
    group = parser.add_argument_group("downloading")
    group.add_argument("--contact", metavar="ADDRESS", help=f"your e-mail or web address: {WHY_CONTACT}")
    group.add_argument(
        "--seconds-between",
        type=float,
        default=seconds_between,
        metavar="S",
        help="seconds between two requests to a host (default: %(default)s)",
    )
    group.add_argument(
        "--connections",
        type=int,
        default=Politeness.connections_per_host,
        metavar="N",
        help="simultaneous downloads from a host (default: %(default)s)",
    )
    group.add_argument(
        "--max-bytes",
        type=int,
        default=max_bytes,
        metavar="N",
        help="refuse files of more bytes (default: %(default)s)",
    )


def politeness_from(args: argparse.Namespace) -> Politeness:
    """The limits from the options of `add_fetch_arguments`.

    Raises:
        DataError: the contact is missing, or a number is out of range.
    """
    if args.contact is None:
        raise UsageError(f"--contact is missing (remedy: give your e-mail or web address; {WHY_CONTACT})")
    if not 0 <= args.seconds_between <= LONGEST_PAUSE:
        raise UsageError(
            f"--seconds-between {args.seconds_between}: out of range (remedy: 0 to {LONGEST_PAUSE})"
        )
    if args.connections < 1 or args.max_bytes < 1:
        raise UsageError("--connections or --max-bytes is below 1 (remedy: 1 or more)")
    return Politeness(
        user_agent(args.contact),
        seconds_between=args.seconds_between,
        connections_per_host=args.connections,
        max_bytes=args.max_bytes,
    )


def only_kinds(*kinds: str) -> ContentCheck:
    """A check for `Fetcher.get`: the first bytes must show a media type with one of these prefixes."""

    def wanted(first: bytes, content_type: str) -> str | None:
        kind = kind_of(first)
        if kind and kind.startswith(kinds):
            return None
        return f"wrong kind of file: {kind or content_type or 'unknown'}"

    return wanted


def _anything(first: bytes, content_type: str) -> None:
    return None


class _Host:
    """The state of one host: free connections, and the time at which the next request may start."""

    def __init__(self, connections: int) -> None:
        self.places = threading.Semaphore(connections)
        self.lock = threading.Lock()
        self.free_at = 0.0

    def pause(self, seconds: float) -> None:
        with self.lock:
            self.free_at = max(self.free_at, time.monotonic() + seconds)


class Fetcher:
    """Downloads files; a context manager, thread-safe."""

    def __init__(self, politeness: Politeness) -> None:
        self.politeness = politeness
        self._client = httpx.Client(
            headers={"User-Agent": politeness.user_agent, "Accept-Encoding": "identity"},
            timeout=politeness.timeout_seconds,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=20),
        )
        self._hosts: dict[str, _Host] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._failures = 0

    def __enter__(self) -> Fetcher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Wake waiting threads and close all connections; from now on `get` raises DataError."""
        self._closed.set()
        self._client.close()

    def get(
        self, url: str, *, wanted: ContentCheck = _anything, headers: Mapping[str, str] | None = None
    ) -> bytes:
        """Download one file.

        Args:
            headers: added to the request's headers, for example Accept.
            wanted: called once with the first bytes and the Content-Type. If it returns a reason, the
                transfer ends with a FetchError for that reason.

        Raises:
            FetchError: the file cannot be downloaded.
            SeveralFiles: a FetchError with the files to choose from.
            DataError: the last `FAILURES_IN_A_ROW` downloads of all threads failed in a way that retries may
                fix. To continue would only fill the list of rejects.
        """
        tries = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self.politeness.attempts),
            wait=self._wait,
            retry=tenacity.retry_if_exception_type(_RetryLater),
            sleep=self._sleep,
            reraise=True,
        )
        try:
            content = tries(self._once, url, wanted, headers)
        except SeveralFiles:
            self._failures = 0
            raise
        except FetchError as error:
            if self._closed.is_set():
                raise DataError(_STOPPED) from error
            self._count(error, url)
            raise FetchError(error.reason, error.detail) from error.__cause__
        self._failures = 0
        return content

    def _count(self, error: FetchError, url: str) -> None:
        with self._lock:
            self._failures = self._failures + 1 if isinstance(error, _RetryLater) else 0
            failures = self._failures
        if failures >= FAILURES_IN_A_ROW:
            raise DataError(
                f"{url}: {error}; {failures} consecutive failures (remedy: check the network and rerun "
                "later to resume, with a larger --seconds-between if the server blocks us)"
            ) from error

    def _wait(self, state: tenacity.RetryCallState) -> float:
        # If the server gave a time, _turn makes every request to that host wait for it.
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, _RetryLater) and error.seconds is not None:
            return 0
        return min(
            tenacity.wait_exponential_jitter(initial=1, jitter=1)(state), self.politeness.longest_wait_seconds
        )

    def _sleep(self, seconds: float) -> None:
        if self._closed.wait(seconds):
            raise DataError(_STOPPED)

    def _once(self, url: str, wanted: ContentCheck, headers: Mapping[str, str] | None) -> bytes:
        try:
            request = self._client.build_request("GET", url, headers=headers)
            for _ in range(1 + REDIRECTS):
                _check_address(request.url)
                with self._turn(request.url) as host:
                    deadline = time.monotonic() + self.politeness.timeout_seconds
                    response = self._client.send(request, stream=True)
                    with contextlib.closing(response):
                        if not response.has_redirect_location:
                            self._check_status(response, host)
                            return self._read(response, wanted, deadline)
                        request = response.next_request or request  # never None for a redirect
            raise FetchError("too many redirects", str(request.url)[:200])
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError, UnicodeError) as error:
            raise FetchError("not a web address", reason_of(error)[:200]) from error
        except httpx.RemoteProtocolError as error:
            # httpx raises the same error for a redirect to an invalid URL, which a retry cannot fix.
            if "Location" in str(error):
                raise FetchError("not a web address", reason_of(error)[:200]) from error
            raise _RetryLater("broken off", reason_of(error)) from error
        except httpx.TimeoutException as error:
            raise _RetryLater("timed out", reason_of(error)) from error
        except httpx.ConnectError as error:
            raise _RetryLater("no connection", reason_of(error)) from error
        except httpx.TransportError as error:
            raise _RetryLater("broken off", reason_of(error)) from error
        except httpx.DecodingError as error:
            raise FetchError("wrong content encoding", reason_of(error)) from error

    @contextlib.contextmanager
    def _turn(self, url: httpx.URL) -> Iterator[_Host]:
        """Wait for a free connection to the host and for the pause between requests."""
        with self._lock:
            host = self._hosts.setdefault(url.netloc.decode(), _Host(self.politeness.connections_per_host))
        with host.places:
            while True:
                with host.lock:
                    now = time.monotonic()
                    if now >= host.free_at:
                        host.free_at = now + self.politeness.seconds_between
                        break
                    seconds = host.free_at - now
                self._sleep(seconds)
            yield host

    def _check_status(self, response: httpx.Response, host: _Host) -> None:
        status = response.status_code
        if status == httpx.codes.OK:
            return
        if status == httpx.codes.MULTIPLE_CHOICES:
            raise SeveralFiles(_links(response, self.politeness.max_bytes))
        if status in LATER:
            seconds = _retry_after(response.headers.get("Retry-After", ""))
            if seconds is not None:
                seconds = min(seconds, self.politeness.longest_wait_seconds)
                host.pause(seconds)
            raise _RetryLater(f"HTTP {status}", response.reason_phrase, seconds)
        raise (_RetryLater if status >= 500 else FetchError)(f"HTTP {status}", response.reason_phrase)

    def _read(self, response: httpx.Response, wanted: ContentCheck, deadline: float) -> bytes:
        limit = self.politeness.max_bytes
        announced = response.headers.get("Content-Length", "")
        if announced.isdecimal() and int(announced) > limit:
            raise FetchError("too large", f"{announced} bytes, the limit is {limit}")
        content = bytearray()
        checked = False
        for block in response.iter_bytes():
            content += block
            if len(content) > limit:
                raise FetchError("too large", f"more than {limit} bytes")
            if not checked and len(content) >= SNIFF_BYTES:
                checked = True
                self._check_kind(wanted, content, response)
            if time.monotonic() > deadline:
                raise _RetryLater("timed out", f"not whole after {self.politeness.timeout_seconds:g} s")
        if not content:
            raise FetchError("empty answer")
        if not checked:
            self._check_kind(wanted, content, response)
        return bytes(content)

    @staticmethod
    def _check_kind(wanted: ContentCheck, content: bytearray, response: httpx.Response) -> None:
        content_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if reason := wanted(bytes(content[:SNIFF_BYTES]), content_type):
            raise FetchError(reason, content_type)


def _check_address(url: httpx.URL) -> None:
    sound = url.scheme in ("http", "https") and _HOST.fullmatch(url.raw_host) and (url.port or 1) < 2**16
    if not sound:
        raise FetchError("not a web address", str(url)[:200])


def _links(response: httpx.Response, limit: int) -> tuple[str, ...]:
    """The distinct URLs that an HTML page links to, in its order."""
    found: dict[str, None] = {}

    class Links(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag == "a" and (target := dict(attrs).get("href")):
                with contextlib.suppress(httpx.InvalidURL):
                    found[str(response.url.join(target))] = None

    page = bytearray()
    for block in response.iter_bytes():
        page += block
        if len(page) > limit:
            raise FetchError("too large", f"more than {limit} bytes")
    Links().feed(page.decode("utf-8", "replace"))
    return tuple(found)


def _retry_after(value: str) -> float | None:
    """The seconds in a Retry-After header (a number or a date), or None if it has neither."""
    if value.strip().isdecimal():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return max(0.0, (moment - datetime.now(timezone.utc)).total_seconds())
