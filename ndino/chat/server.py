"""HTTP for the page, on 127.0.0.1 alone, by the standard library's server; nothing is written to disk or log.

====================  ==========================================================================
``GET /``             the page
``GET /state``        models, languages and examples
``GET /images/ID``    a preview; ``/images/ID/file`` is the file itself, to be saved
``GET /another/ID``   the image that the control shows in place of this one
``POST /images``      an image file; its name, percent-encoded, in the header ``X-Name``
``POST /answer``      a question for one model; its answer as one JSON object a line, as it comes
``POST /sample``      a conversation as a row of LLaVA JSON
====================  ==========================================================================

An error is ``{"error": …}`` with a status of 400 or above.
"""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from ndino.chat.errors import ChatError
from ndino.chat.images import MAX_BYTES
from ndino.chat.messages import AnswerRequest, SampleRequest, parse_request
from ndino.chat.page import render_page
from ndino.chat.session import ChatSession
from ndino.common.errors import UserError, reason_of

HOST = "127.0.0.1"
MAX_MESSAGE = 16 * 1024**2  # bytes of a request but an image
SILENCE = 60  # seconds after which a request that sends nothing is dropped


class ChatServer(ThreadingHTTPServer):
    """Serves one `ChatSession`; a port of 0 is any that is free.

    Raises:
        OSError: the port is in use.
    """

    daemon_threads = True

    def __init__(self, session: ChatSession, port: int) -> None:
        page, policy = render_page()
        super().__init__((HOST, port), partial(_Handler, session, page, policy))

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: a page that has left is no error, and others are sent to the page."""


class _RefusedRequest(Exception):
    """A request that is answered with a status of its own."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    timeout = SILENCE

    def __init__(self, session: ChatSession, page: str, policy: str, *arguments: Any) -> None:
        self._session, self._page, self._policy = session, page, policy
        super().__init__(*arguments)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: questions are nobody's business."""

    def do_GET(self) -> None:
        self._handled(self._get)

    def do_POST(self) -> None:
        self._handled(self._post)

    def _handled(self, serve: Callable[[], None]) -> None:
        try:
            self._require_own_page()
            serve()
        except _RefusedRequest as error:
            self._send_json({"error": str(error)}, error.status)
        except UserError as error:
            self._send_json({"error": str(error)}, HTTPStatus.BAD_REQUEST)

    def _require_own_page(self) -> None:
        """Refuse another site's page, which a browser on this machine may have open."""
        port = self.connection.getsockname()[1]
        own = {f"{host}:{port}" for host in (HOST, "localhost")}
        origin = self.headers.get("Origin")
        if self.headers.get("Host") not in own or (origin and origin.removeprefix("http://") not in own):
            raise _RefusedRequest(
                HTTPStatus.FORBIDDEN, f"open http://{HOST}:{port} (remedy: use this address)"
            )

    def _get(self) -> None:
        match self.path.split("/")[1:]:
            case [""]:
                self._send(self._page.encode(), "text/html; charset=utf-8")
            case ["state"]:
                self._send_json(self._session.state())
            case ["images", digest]:
                self._send(self._session.images.get(digest).preview, "image/png")
            case ["images", digest, "file"]:
                self._send(self._session.images.get(digest).content, "application/octet-stream")
            case ["another", digest]:
                self._send_json(self._session.another_image(digest))
            case _:
                self._not_found()

    def _post(self) -> None:
        match self.path:
            case "/images":
                content = self._body(MAX_BYTES)
                name = urllib.parse.unquote(self.headers.get("X-Name", ""))
                self._send_json(self._session.add_image(content, name))
            case "/answer":
                self._answer(parse_request(AnswerRequest, self._body(MAX_MESSAGE)))
            case "/sample":
                request = parse_request(SampleRequest, self._body(MAX_MESSAGE))
                self._send_json({"sample": self._session.sample(request)})
            case _:
                self._not_found()

    def _answer(self, request: AnswerRequest) -> None:
        self._head(HTTPStatus.OK, "application/x-ndjson", None)

        def send(step: dict[str, Any]) -> None:
            # Fails as soon as the page has closed the connection, which ends the answer.
            self.wfile.write(json.dumps(step).encode() + b"\n")

        self._session.answer(request, send)

    def _body(self, most: int) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            raise _RefusedRequest(HTTPStatus.LENGTH_REQUIRED, "no length (remedy: reload the page)")
        if int(length) > most:
            self.close_connection = True
            raise _RefusedRequest(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"{int(length):,} bytes, and {most:,} are taken (remedy: choose a smaller file)",
            )
        return self.rfile.read(int(length))

    def _not_found(self) -> None:
        raise _RefusedRequest(HTTPStatus.NOT_FOUND, f"no {self.path[:80]} (remedy: reload the page)")

    def _send_json(self, content: Any, status: HTTPStatus = HTTPStatus.OK) -> None:
        self._send(json.dumps(content).encode(), "application/json", status)

    def _send(self, content: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        self._head(status, kind, len(content))
        self.wfile.write(content)

    def _head(self, status: HTTPStatus, kind: str, length: int | None) -> None:
        self.send_response(status)
        headers = {
            "Content-Type": kind,
            "Content-Security-Policy": self._policy,
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
        }
        headers |= {"Content-Length": str(length)} if length is not None else {}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


def serve(session: ChatSession, port: int, opened: Callable[[str], object]) -> None:
    """Serve until Ctrl-C; ``opened`` is called with the address.

    Raises:
        ChatError: the port is in use.
        KeyboardInterrupt: Ctrl-C.
    """
    try:
        server = ChatServer(session, port)
    except OSError as error:
        raise ChatError(
            f"port {port} of {HOST}: {reason_of(error)} (remedy: choose another one with --port, such as "
            f"{port + 1}, or end what uses it)"
        ) from error
    with server:
        session.load()
        opened(server.address)
        server.serve_forever()
