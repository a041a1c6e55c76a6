"""The address of a server, and the key that it is given; neither password nor key is shown."""

from __future__ import annotations

import ipaddress
import os

import httpx

from ndino.common.errors import UsageError, shown


def checked_address(url: str, option: str, key_variable: str) -> str:
    """``url`` without a slash at its end.

    Args:
        option: that the user gave it with.
        key_variable: the environment variable that the key is read from.

    Raises:
        UsageError: it is no web address, or holds what should not be in one.
    """
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL()
    # Not shown: messages are kept, and a password must not be.
    if parsed.userinfo or parsed.query or parsed.fragment:
        raise UsageError(
            f"{option}: holds a password, a ? or a # (remedy: the plain address; keys are read from "
            f"the environment variable {key_variable})"
        )
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise UsageError(f"{option} {shown(url)}: not a web address (remedy: as in http://localhost:8000/v1)")
    return url.rstrip("/")


def is_address(source: str) -> bool:
    """Whether a model is named by the address of its server."""
    return source.lower().startswith(("http://", "https://"))


def split_address(source: str, option: str, key_variable: str) -> tuple[str, str]:
    """``URL#MODEL`` as the address, see `checked_address`, and the server's name of the model.

    The name is empty where none is given. Args and errors are those of `checked_address`.
    """
    address, _, model = source.partition("#")
    return checked_address(address, option, key_variable), model


def read_key(variable: str) -> str:
    """The key in the environment variable ``variable``; empty where there is none.

    Raises:
        UsageError: it holds characters that no key has; the message does not show it.
    """
    key = os.environ.get(variable, "").strip()
    if not (key.isascii() and key.isprintable()):
        # Without the key itself, which httpx would show.
        raise UsageError(f"{variable}: holds characters that no key has (remedy: export it again)")
    return key


def authorization(key_variable: str) -> dict[str, str]:
    """The headers that give a server its key; none without a key. Raises what `read_key` raises."""
    key = read_key(key_variable)
    return {"Authorization": f"Bearer {key}"} if key else {}


def without_key(text: str, key_variable: str) -> str:
    """``text`` without the key: servers name one that they refuse, and some send back whatever they got."""
    key = read_key(key_variable)
    return text.replace(key, "…") if key else text


def is_on_this_machine(url: str) -> bool:
    """Whether the host of ``url`` is this machine by its name: no proxy of the network can reach it."""
    host = httpx.URL(url).host
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
