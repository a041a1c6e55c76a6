"""A tiny model to be served, and a proxy before its server that fails now and then, as under load."""

from __future__ import annotations

import contextlib
import http.server
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from fixtures.chat_model import write_chat_model
from ndino.data.translation.engines.request import TranslationRequest
from ndino.languages.language import language
from tests.servers import snapshot_in

JSON = {"Content-Type": "application/json"}
NAME = "tiny/chat"
ENGLISH, ITALIAN = language("en"), language("it")
REQUEST = TranslationRequest(ENGLISH, ITALIAN)
ENDLESS = "Say it again and again."
TAUGHT = {
    "How many dogs are in the picture?": "Quanti cani ci sono nella foto?",
    "Question: What is he waiting for? Options: (1) a train; (2) a cab. Answer: (2).": (
        "Domanda: Che cosa aspetta? Opzioni: (1) un treno; (2) un taxi. Risposta: (2)."
    ),
    "Question: What is the man holding? Answer: a red umbrella": (
        "Domanda: Che cosa tiene in mano l'uomo? Risposta: un ombrello rosso"
    ),
    "The sky is blue.": "Il cielo è blu.",
    ENDLESS: "",
    "a": "un",
}


def write_hub(folder: Path) -> Path:
    """Write a cache of the hub with the model `NAME`, which knows `TAUGHT`; returns its snapshot."""
    taught = {REQUEST.prompt(text): answer for text, answer in TAUGHT.items()}
    return write_chat_model(snapshot_in(folder, NAME), taught)


class FlakyProxy:
    """Passes requests on to ``url``, except where it was told to fail; the address is ``self.url``.

    Attributes:
        faults: what to do with the next requests for a translation, in order: a status to answer, ``drop``
            the connection, ``hang`` for a second, a choice or a whole body to answer with; the others are
            passed on.
        refused: texts that are answered with 400.
        key: the only key that is let in; None lets in all.
        asked: the bodies of all requests for a translation.
        most: the largest number of them at a time.
    """

    def __init__(self, url: str) -> None:
        self.faults: list[int | str | dict | bytes] = []
        self.refused: tuple[str, ...] = ()
        self.key: str | None = None
        self.asked: list[dict] = []
        self.most = 0
        self._now = 0
        self._lock = threading.Lock()
        proxy, base = self, url.removesuffix("/v1")

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if not self.locked():
                    answer = httpx.get(f"{base}{self.path}")
                    self.answer(answer.status_code, answer.content)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.locked():
                    return
                reply: tuple[int, bytes] | None = None
                # Answered behind it: a client that has its answer may ask again before the count goes down.
                with proxy.counted(body) as fault:
                    if isinstance(fault, int):
                        reply = fault, json.dumps({"error": {"message": f"fault {fault}"}}).encode()
                    elif isinstance(fault, dict):
                        reply = 200, json.dumps({"choices": [fault]}).encode()
                    elif isinstance(fault, bytes):
                        reply = 200, fault
                    elif fault != "drop":
                        time.sleep(fault == "hang")
                        answer = httpx.post(f"{base}{self.path}", content=body, headers=JSON, timeout=60)
                        reply = answer.status_code, answer.content
                if reply is None:
                    self.connection.shutdown(socket.SHUT_RDWR)
                else:
                    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                        self.answer(*reply)

            def locked(self) -> bool:
                given = self.headers.get("Authorization", "")
                if proxy.key is None or given == f"Bearer {proxy.key}":
                    return False
                self.answer(401, json.dumps({"error": {"message": f"Incorrect key: {given}"}}).encode())
                return True

            def answer(self, status: int, content: bytes) -> None:
                self.send_response(status)
                if status == 429:
                    self.send_header("Retry-After", "0")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    @contextlib.contextmanager
    def counted(self, body: bytes) -> Iterator[int | str | dict | bytes | None]:
        """Count a request while it is worked on; yields its fault, if any."""
        asked = json.loads(body)
        with self._lock:
            self.asked.append(asked)
            self._now += 1
            self.most = max(self.most, self._now)
            fault: int | str | dict | bytes | None = self.faults.pop(0) if self.faults else None
        if any(text in asked["messages"][0]["content"] for text in self.refused):
            fault = 400
        try:
            yield fault
        finally:
            with self._lock:
                self._now -= 1

    def __enter__(self) -> FlakyProxy:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
