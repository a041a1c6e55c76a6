"""A web server on 127.0.0.1 with prepared answers, which counts requests and can misbehave.

with Server({"/a.png": content(png), "/b.png": in_turn(status(503), content(png))}) as server:
    fetcher.get(server.url("/a.png"))
assert server.hits["/a.png"] == 1
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[[BaseHTTPRequestHandler], None]


def content(body: bytes, kind: str = "image/png", *, length: int | None = None) -> Answer:
    """200 with a body; ``length`` replaces the true Content-Length, a negative one omits it."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Type", kind)
        if length is None or length >= 0:
            request.send_header("Content-Length", str(len(body) if length is None else length))
        request.end_headers()
        request.wfile.write(body)

    return answer


def status(code: int, headers: Mapping[str, str] | None = None, body: bytes = b"no") -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(code)
        for name, value in (headers or {}).items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


def redirect(target: str) -> Answer:
    return status(302, {"Location": target}, b"")


def broken(body: bytes, after: int) -> Answer:
    """Announces the whole body and closes the connection after ``after`` bytes."""
    return content(body[:after], length=len(body))


def slow(body: bytes, pause: float, kind: str = "image/png") -> Answer:
    """Sends one byte at a time, with pauses."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        for byte in body:
            request.wfile.write(bytes([byte]))
            request.wfile.flush()
            time.sleep(pause)

    return answer


def endless(kind: str = "image/png") -> Answer:
    """Sends bytes without a length and without an end."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Type", kind)
        request.end_headers()
        while True:
            request.wfile.write(b"\x89PNG\r\n\x1a\n" * 1024)

    return answer


def silent(seconds: float) -> Answer:
    """Sends nothing for some seconds, then closes the connection."""
    return lambda request: time.sleep(seconds)


def in_turn(*answers: Answer) -> Answer:
    """The first answer to the first request, and so on; the last one to all later requests."""
    lock, turns = threading.Lock(), itertools.chain(answers, itertools.repeat(answers[-1]))

    def answer(request: BaseHTTPRequestHandler) -> None:
        with lock:
            turn = next(turns)
        turn(request)

    return answer


class Server:
    """A context manager; other paths than those in ``routes`` are answered with 404.

    Attributes:
        hits: requests of each path.
        agents: User-Agents seen.
        starts: when each request came (time.monotonic).
        busiest: most requests that waited for their answer at one time; each waits for ``hold`` seconds.
    """

    def __init__(self, routes: Mapping[str, Answer] | None = None, *, hold: float = 0) -> None:
        self.routes = dict(routes or {})
        self.hits: Counter[str] = Counter()
        self.agents: set[str | None] = set()
        self.starts: list[float] = []
        self.busiest = 0
        self._busy = 0
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with server._lock:
                    server.hits[self.path] += 1
                    server.agents.add(self.headers["User-Agent"])
                    server.starts.append(time.monotonic())
                    server._busy += 1
                    server.busiest = max(server.busiest, server._busy)
                time.sleep(hold)
                with server._lock:
                    server._busy -= 1
                try:
                    server.routes.get(self.path, status(404))(self)
                except OSError:
                    self.close_connection = True  # the client closed the connection first

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._server.server_port}{path}"

    def __enter__(self) -> Server:
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
