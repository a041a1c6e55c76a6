"""One process at a time on a folder."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from ndino.common.errors import UserError, reason_of


class BusyError(UserError):
    """Another process holds the lock."""


@contextlib.contextmanager
def exclusive_lock(path: Path, busy: str) -> Iterator[int]:
    """Hold ``path``, a file (made if need be) or a folder, against other processes; the system frees it when
    they end, however they end. Yields the descriptor: a program that inherits it holds ``path`` on.

    Where the file system has no locks (some clusters') it goes on with a warning.

    Raises:
        BusyError: another process holds it; says ``busy``.
    """
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(busy) from None
        except OSError as error:
            print(f"{path}: no locks here ({reason_of(error)}): run one process at a time", file=sys.stderr)
        yield descriptor
    finally:
        os.close(descriptor)
