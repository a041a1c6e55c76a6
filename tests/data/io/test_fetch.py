"""Downloads from a local server that misbehaves in every way."""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ndino.common.errors import UsageError
from ndino.data.framework.shards import DataError
from ndino.data.io import fetch
from ndino.data.io.fetch import Fetcher, FetchError, Politeness, SeveralFiles, only_kinds, user_agent
from tests.data.io.server import (
    Server,
    broken,
    content,
    endless,
    in_turn,
    redirect,
    silent,
    slow,
    status,
)

PNG = b"\x89PNG\r\n\x1a\n" + bytes(2000)
AGENT = user_agent("tests@example.org")


def polite(**settings: float) -> Politeness:
    return Politeness(
        AGENT,
        **{"seconds_between": 0, "attempts": 3, "timeout_seconds": 5, "longest_wait_seconds": 0.05}
        | settings,
    )


def reason(fetcher: Fetcher, url: str, **options: object) -> str:
    with pytest.raises(FetchError) as error:
        fetcher.get(url, **options)
    return error.value.reason


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_content_and_the_user_agent() -> None:
    with Server({"/a.png": content(PNG)}) as server, Fetcher(polite()) as fetcher:
        assert fetcher.get(server.url("/a.png")) == PNG
    assert server.agents == {AGENT}
    assert AGENT.startswith("ndino/") and "(tests@example.org) httpx/" in AGENT


@pytest.mark.parametrize("contact", ["", "me", "a@b\r\nX: y", "a@b (x)", "è@b"])
def test_an_invalid_contact_is_refused(contact: str) -> None:
    with pytest.raises(UsageError, match="--contact"):
        user_agent(contact)


@pytest.mark.parametrize(
    "options", ["", "--seconds-between -1", "--seconds-between nan", "--connections 0", "--max-bytes 0"]
)
def test_settings_out_of_range(options: str) -> None:
    parser = argparse.ArgumentParser()
    fetch.add_fetch_arguments(parser, seconds_between=0.5, max_bytes=100)
    with pytest.raises(UsageError, match="--"):
        fetch.politeness_from(parser.parse_args([*(options and "--contact a@b").split(), *options.split()]))
    found = fetch.politeness_from(parser.parse_args(["--contact", "a@b"]))
    assert (found.seconds_between, found.max_bytes, found.connections_per_host) == (0.5, 100, 2)


@pytest.mark.parametrize("code", [202, 429, 500, 502, 503])
def test_later_is_retried(code: int) -> None:
    with Server({"/a": in_turn(status(code), status(code), content(PNG))}) as server:
        with Fetcher(polite()) as fetcher:
            assert fetcher.get(server.url("/a")) == PNG
        assert server.hits["/a"] == 3


@pytest.mark.parametrize("code", [202, 429, 500, 503])
def test_later_forever_is_a_failure(code: int) -> None:
    with Server({"/a": status(code)}) as server, Fetcher(polite()) as fetcher:
        assert reason(fetcher, server.url("/a")) == f"HTTP {code}"
        assert server.hits["/a"] == 3


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410, 204, 304])
def test_refusals_are_final(code: int) -> None:
    with Server({"/a": status(code, body=b"")}) as server, Fetcher(polite()) as fetcher:
        assert reason(fetcher, server.url("/a")) == f"HTTP {code}"
        assert server.hits["/a"] == 1


def test_retry_after_holds_for_the_whole_host() -> None:
    routes = {"/a": in_turn(status(429, {"Retry-After": "1"}), content(PNG)), "/b": content(PNG)}
    with Server(routes) as server, Fetcher(polite(longest_wait_seconds=9)) as fetcher:
        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(fetcher.get, server.url("/a"))
            until(lambda: server.starts)
            until(lambda: any(host.free_at > server.starts[0] + 1 for host in fetcher._hosts.values()))
            second = pool.submit(fetcher.get, server.url("/b"))
            assert first.result() == second.result() == PNG
        assert min(server.starts[1:]) - server.starts[0] >= 0.95
        assert server.hits == {"/a": 2, "/b": 1}


def test_retry_after_is_bounded() -> None:
    routes = {"/a": in_turn(status(503, {"Retry-After": "86400"}), content(PNG))}
    with Server(routes) as server, Fetcher(polite()) as fetcher:
        assert fetcher.get(server.url("/a")) == PNG


def test_retry_after_in_both_forms() -> None:
    soon = datetime.now(timezone.utc) + timedelta(seconds=100)
    assert fetch._retry_after(" 7 ") == 7
    assert 95 < fetch._retry_after(format_datetime(soon, usegmt=True)) < 101
    assert fetch._retry_after(format_datetime(soon - timedelta(days=1), usegmt=True)) == 0


@given(st.text())
@example("Wed, 21 Oct 99999999999999999999 07:28:00 GMT")
def test_any_retry_after_is_seconds_or_nothing(value: str) -> None:
    seconds = fetch._retry_after(value)
    assert seconds is None or seconds >= 0


def test_a_broken_transfer_is_retried() -> None:
    with Server({"/a": in_turn(broken(PNG, 900), content(PNG)), "/b": broken(PNG, 900)}) as server:
        with Fetcher(polite()) as fetcher:
            assert fetcher.get(server.url("/a")) == PNG
            assert reason(fetcher, server.url("/b")) == "broken off"
        assert server.hits == {"/a": 2, "/b": 3}


def test_a_content_length_that_is_too_small_truncates_the_file() -> None:
    with Server({"/a": content(PNG, length=900)}) as server, Fetcher(polite()) as fetcher:
        assert fetcher.get(server.url("/a")) == PNG[:900]


def test_silent_and_slow_transfers_time_out() -> None:
    hasty = polite(timeout_seconds=0.3, attempts=1)
    with Server({"/a": silent(2), "/b": slow(PNG, 0.05)}) as server, Fetcher(hasty) as fetcher:
        assert reason(fetcher, server.url("/a")) == "timed out"
        assert reason(fetcher, server.url("/b")) == "timed out"


def test_no_server() -> None:
    with Server() as server:
        url = server.url("/a")
    with Fetcher(polite()) as fetcher:
        assert reason(fetcher, url) == "no connection"


def test_announced_and_actual_size_are_limited() -> None:
    routes = {"/a": content(PNG), "/b": endless(), "/c": content(PNG, length=-1)}
    with Server(routes) as server, Fetcher(polite(max_bytes=1000)) as fetcher:
        for path in routes:
            assert reason(fetcher, server.url(path)) == "too large"
        assert set(server.hits.values()) == {1}


def test_empty_answer() -> None:
    with Server({"/a": content(b"")}) as server, Fetcher(polite()) as fetcher:
        assert reason(fetcher, server.url("/a")) == "empty answer"


def test_html_in_place_of_an_image() -> None:
    page = b"\n<!-- x -->\n<!DOCTYPE html><html><body>Too many requests</body></html>"
    routes = {
        "/lies": content(page, "image/png"),
        "/page": content(page, "text/html"),
    }
    with Server(routes | {"/png": content(PNG, "x/y")}) as server, Fetcher(polite()) as fetcher:
        for path in routes:
            found = reason(fetcher, server.url(path), wanted=only_kinds("image/"))
            assert found == "wrong kind of file: text/html"
        assert fetcher.get(server.url("/png"), wanted=only_kinds("image/")) == PNG


def test_an_unwanted_file_is_not_read_to_its_end() -> None:
    with Server({"/a": endless()}) as server, Fetcher(polite()) as fetcher:
        found = reason(fetcher, server.url("/a"), wanted=only_kinds("application/pdf"))
        assert found == "wrong kind of file: image/png"


def test_redirects_are_followed_up_to_a_limit() -> None:
    with Server({"/file": content(PNG), "/none": redirect("file:///etc/passwd")}) as server:
        with Server({"/a": redirect("/b"), "/b": redirect(server.url("/file"))}) as first:
            first.routes |= {"/loop": redirect("/loop"), "/bad": redirect("http://[")}
            with Fetcher(polite()) as fetcher:
                assert fetcher.get(first.url("/a")) == PNG
                assert reason(fetcher, first.url("/loop")) == "too many redirects"
                assert reason(fetcher, first.url("/bad")) == "not a web address"
                assert reason(fetcher, server.url("/none")) == "not a web address"
        assert first.hits["/loop"] == 1 + fetch.REDIRECTS


NO_ADDRESSES = """|a.png|//host/a.png|file:///etc/passwd|ftp://127.0.0.1/a|http://|http://[::1|http://a b/c
|javascript:alert(1)|data:image/png;base64,AAAA|http://127.0.0.1:99999/|http://exa\x00mple/"""


@pytest.mark.parametrize("url", [url.strip() for url in NO_ADDRESSES.split("|")])
def test_invalid_urls(url: str) -> None:
    with Fetcher(polite(attempts=1)) as fetcher:
        assert reason(fetcher, url) == "not a web address"


def test_time_between_requests_to_a_host() -> None:
    with Server({f"/{n}": content(b"abc") for n in range(8)}) as server:
        started = time.monotonic()
        with Fetcher(polite(seconds_between=0.1)) as fetcher, ThreadPoolExecutor(8) as pool:
            assert list(pool.map(fetcher.get, map(server.url, server.routes))) == [b"abc"] * 8
        assert time.monotonic() - started >= 0.7


def test_many_threads_respect_the_connection_limit() -> None:
    with Server({f"/{n}": content(b"abc") for n in range(12)}, hold=0.1) as server:
        with Fetcher(polite(connections_per_host=3)) as fetcher, ThreadPoolExecutor(8) as pool:
            list(pool.map(fetcher.get, map(server.url, server.routes)))
        assert 1 < server.busiest <= 3


def test_the_run_stops_after_consecutive_failures() -> None:
    routes = {"/here": content(PNG), "/gone": status(404)}
    with Server(routes) as server, Fetcher(polite(attempts=1)) as fetcher:
        with Server() as dead:
            url = dead.url("/a")
        for path in routes:
            for _ in range(fetch.FAILURES_IN_A_ROW - 1):
                assert reason(fetcher, url) == "no connection"
            if path == "/here":
                fetcher.get(server.url(path))
            else:
                assert reason(fetcher, server.url(path)) == "HTTP 404"
        for _ in range(fetch.FAILURES_IN_A_ROW - 1):
            assert reason(fetcher, url) == "no connection"
        with pytest.raises(DataError, match="20 consecutive failures"):
            fetcher.get(url)


def test_headers_of_one_download() -> None:
    asked = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        asked.append((request.headers["Accept-Language"], request.headers["User-Agent"]))
        content(PNG)(request)

    with Server({"/a": answer}) as server, Fetcher(polite()) as fetcher:
        fetcher.get(server.url("/a"), headers={"Accept-Language": "ita"})
        fetcher.get(server.url("/a"))
    assert asked == [("ita", AGENT), (None, AGENT)]


def test_several_files_under_one_url() -> None:
    page = b"<html><a href='/b/DOC_1'>1</a> <A HREF=DOC_2>2</A> <a href='/b/DOC_1'>1</a><a name=x>"
    with Server({"/b/a": status(300, body=page)}) as server, Fetcher(polite()) as fetcher:
        with pytest.raises(SeveralFiles, match=r"HTTP 300 \(2 files\)") as error:
            fetcher.get(server.url("/b/a"))
        assert error.value.links == (server.url("/b/DOC_1"), server.url("/b/DOC_2"))
    assert server.hits["/b/a"] == 1
    with Server({"/a": status(300, body=page * 20)}) as server, Fetcher(polite(max_bytes=1000)) as fetcher:
        assert reason(fetcher, server.url("/a")) == "too large"


def test_closing_ends_a_pause() -> None:
    with Server({"/a": status(429, {"Retry-After": "60"})}) as server:
        fetcher = Fetcher(polite(longest_wait_seconds=60))
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(fetcher.get, server.url("/a"))
            until(lambda: server.hits["/a"])
            threading.Timer(0.1, fetcher.close).start()
            with pytest.raises(DataError, match="stopped"):
                waiting.result(timeout=10)
