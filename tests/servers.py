"""OpenAI-compatible servers: one that answers, or fails, as a test tells it to, and real ones."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from tests.ranks import free_port

JSON, HTML = "application/json", "text/html; charset=utf-8"
Body = dict[str, Any]
REVISION = "0123456789abcdef0123456789abcdef01234567"


@contextlib.contextmanager
def running(command: Sequence[object], log: Path, *, seconds: float, **environment: str) -> Iterator[str]:
    """Run a server, which is told its host and port, and yield the address of its endpoint.

    Args:
        seconds: it may take to start.
        environment: variables that it gets beside this process's.
    """
    port = free_port()
    command = [*map(str, command), "--host", "127.0.0.1", "--port", str(port)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", **environment}
    with log.open("wb") as file:
        server = subprocess.Popen(command, stdout=file, stderr=file, env=environment, cwd=log.parent)
    try:
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"http://127.0.0.1:{port}/health").is_success:
                    break
            assert server.poll() is None and time.monotonic() < deadline, log.read_text()[-5000:]
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait(timeout=60)


def snapshot_in(hub: Path, name: str) -> Path:
    """Make a cache of the hub that knows the repository ``name``; returns where its files go."""
    repository = hub / f"models--{name.replace('/', '--')}"
    (repository / "blobs").mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(REVISION)
    return repository / "snapshots" / REVISION


def serving(hub: Path, log: Path) -> contextlib.AbstractContextManager[str]:
    """Serve the models of a cache with `transformers serve`; yields the address of the endpoint."""
    command = [Path(sys.executable).with_name("transformers"), "serve", "--device", "cpu"]
    return running(command, log, seconds=120, HF_HUB_CACHE=str(hub))


class Handler(http.server.BaseHTTPRequestHandler):
    """One request; what a test lets a server do calls its methods."""

    protocol_version = "HTTP/1.1"
    endpoint: Endpoint

    def reply(
        self,
        status: int,
        content: object = b"",
        kind: str = JSON,
        headers: Mapping[str, str] | None = None,
        length: int | None = None,
    ) -> None:
        """Answer with ``content``, JSON if it is not bytes; ``length`` says how much was promised."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Type": kind, **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)
        if length is not None:
            self.drop()

    def drop(self) -> None:
        """End the connection."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def do_GET(self) -> None:
        self.endpoint.seen.append(("GET", self.path, self.headers.get("Authorization")))
        with contextlib.suppress(OSError):
            self.endpoint.models(self)

    def do_POST(self) -> None:
        endpoint = self.endpoint
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        endpoint.seen.append(("POST", self.path, self.headers.get("Authorization")))
        with contextlib.suppress(OSError), endpoint.counted(body) as does:
            does(self, body)

    def log_message(self, *arguments: object) -> None:
        pass


Does = Callable[[Handler, Body], object]


class Endpoint:
    """The server; ``url`` is its address.

    Attributes:
        answer: gives the text for a request.
        script: what is done with the next requests, in order; `say` with all others.
        always: what is done with a request when ``script`` is empty.
        models: answers a request for the list of models.
        asked: the bodies of all requests.
        seen: method, path and ``Authorization`` of all requests.
        most: the largest number of requests at a time.
    """

    def __init__(self, answer: Callable[[Body], str] = lambda body: "sì", name: str = "tiny") -> None:
        self.answer, self.name = answer, name
        self.script: list[Does] = []
        self.always: Does = self.say
        listed = {"data": [{"id": name, "owned_by": "test"}]}
        self.models: Callable[[Handler], object] = lambda handler: handler.reply(200, listed)
        self.asked: list[Body] = []
        self.seen: list[tuple[str, str, str | None]] = []
        self.most = self._now = 0
        self._lock = threading.Lock()
        handler = type("EndpointHandler", (Handler,), {"endpoint": self})
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def say(self, handler: Handler, body: Body) -> None:
        """Answer as a model does."""
        handler.reply(200, completion(self.answer(body)))

    @contextlib.contextmanager
    def counted(self, body: Body) -> Iterator[Does]:
        with self._lock:
            self.asked.append(body)
            self._now += 1
            self.most = max(self.most, self._now)
            does = self.script.pop(0) if self.script else self.always
        try:
            yield does
        finally:
            with self._lock:
                self._now -= 1

    def __enter__(self) -> Endpoint:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def completion(content: object, end: object = "stop", **message: object) -> Body:
    """A model's answer in the form of the API."""
    said = {"role": "assistant", "content": content, **message}
    usage = {"prompt_tokens": 7, "completion_tokens": 2}
    return {"choices": [{"index": 0, "finish_reason": end, "message": said}], "usage": usage}


def replies(status: int, content: object = b"", **more: Any) -> Does:
    """Answer with this; arguments as for `Handler.reply`."""
    return lambda handler, body: handler.reply(status, content, **more)


def says(content: object, end: str = "stop", **message: object) -> Does:
    """Answer as a model does, with this text."""
    return replies(200, completion(content, end, **message))


def drops(handler: Handler, body: Body) -> None:
    """End the connection without an answer."""
    handler.drop()


def half(handler: Handler, body: Body) -> None:
    """Send half of the answer that was promised, and end the connection."""
    content = json.dumps(completion("sì")).encode()
    handler.reply(200, content[: len(content) // 2], length=len(content))


def hangs(seconds: float) -> Does:
    """Say nothing for so long, and answer then."""

    def wait(handler: Handler, body: Body) -> None:
        time.sleep(seconds)
        handler.reply(200, completion("sì"))

    return wait


def drips(handler: Handler, body: Body) -> None:
    """Send a byte now and then, so that no single wait is long."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    for _ in range(100):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.05)
