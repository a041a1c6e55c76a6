"""Connections to a server: which proxy they take, and how a dead one is told from one that waits."""

from __future__ import annotations

import asyncio
import os
import socket
import urllib.request

import httpx

from ndino.common.endpoint.address import authorization, is_on_this_machine
from ndino.common.errors import reason_of

CONNECT_SECONDS = 10.0
# A model may think for minutes before its server sends anything. The server's machine answers these probes
# meanwhile; a connection that was cut without a word (a network that changed, a router that forgot it) does
# not, and ends within two minutes. They also keep routers from forgetting it. Seconds, seconds, a number.
_PROBES = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}
# Not every system can set all of them; its own are longer.
KEEP_ALIVE = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *((socket.IPPROTO_TCP, getattr(socket, name), n) for name, n in _PROBES.items() if hasattr(socket, name)),
]


def new_client(url: str, key_variable: str, connections: int) -> httpx.AsyncClient:
    """A client for the server at ``url``, with its key; it waits for an answer until it is cancelled.

    Args:
        connections: the largest number.
    """
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    through_proxy = not is_on_this_machine(url) and not {"all", "http", "https"}.isdisjoint(
        urllib.request.getproxies()
    )
    # httpx makes the connections to a proxy itself.
    transport = None if through_proxy else httpx.AsyncHTTPTransport(limits=limits, socket_options=KEEP_ALIVE)
    return httpx.AsyncClient(
        headers=authorization(key_variable),
        timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),
        limits=limits,
        transport=transport,
        trust_env=through_proxy,
    )


def failure_of(error: BaseException, seconds: float) -> str:
    """Why there was no answer: what the system says, where the library only says that it failed."""
    if isinstance(error, httpx.ConnectTimeout):
        return f"no connection within {CONNECT_SECONDS:g} seconds"
    if isinstance(error, asyncio.TimeoutError):
        return f"no answer within {seconds:g} seconds"
    waiting: list[BaseException | None] = [error]
    seen: list[BaseException] = []
    while waiting:
        each = waiting.pop()
        if each is None or each in seen:
            continue
        if isinstance(each, OSError) and each.errno:
            return os.strerror(each.errno)
        seen.append(each)
        # Of the addresses of one host, each has a failure of its own.
        waiting += [each.__context__, each.__cause__, *getattr(each, "exceptions", ())]
    return reason_of(error)
