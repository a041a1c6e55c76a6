"""One process at a time on a folder or file, by filelock's lock on a descriptor.

filelock's own ``FileLock`` cannot lock a folder, and frees its lock when it is closed although a program that
was started under it still runs; hence its ``lock_descriptor`` on a descriptor of ours.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import lock_descriptor

from ndino.common.errors import UserError, reason_of


class BusyError(UserError):
    """Another process holds the lock."""


def is_held(path: Path) -> bool | None:
    """Whether a process holds the file ``path`` by `exclusive_lock`; None where that cannot be found out.

    To try, the lock is taken for a moment if it is free.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError:
        return None
    try:
        return not lock_descriptor(descriptor, blocking=False)
    except OSError:  # a file system without locks
        return None
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def exclusive_lock(path: Path, busy: str, *, wait: Callable[[str], object] | None = None) -> Iterator[int]:
    """Hold ``path``, a file (made if need be) or a folder, against other processes.

    The system frees it when they end, however they end. Yields the descriptor: a program that inherits it
    keeps ``path`` locked. Where the file system has no locks (some clusters') a warning is printed instead.

    Args:
        busy: what to say when another process holds it.
        wait: called with ``busy`` before waiting for that process; None: do not wait.

    Raises:
        BusyError: another process holds it and there is no ``wait``.
        OSError: ``path`` cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            if not lock_descriptor(descriptor, blocking=False):
                if wait is None:
                    raise BusyError(busy)
                wait(busy)
                lock_descriptor(descriptor)
        except OSError as error:
            print(f"{path}: no locks here ({reason_of(error)}): run one process at a time", file=sys.stderr)
        yield descriptor
    finally:
        os.close(descriptor)
