"""Ctrl-C that is not lost.

Python delivers Ctrl-C as an exception in whatever the main thread is doing. In a ``__del__``, a weak
reference's callback or a library's bare ``except`` it is dropped there, and the work continues: seen in
``regex._regex_core.Group.__del__`` while a library compiled its patterns. The handler
here remembers it, so that the loops of long work can raise it again.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class _Interrupts:
    """The handler of SIGINT: raises, and remembers that it did."""

    def __init__(self) -> None:
        self.pressed = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.pressed = True
        raise KeyboardInterrupt


@contextmanager
def remembered_interrupts() -> Iterator[None]:
    """Remember Ctrl-C while the block runs.

    A handler other than Python's own stays: a background job of the shell ignores the signal.
    """
    own = threading.current_thread() is threading.main_thread()
    if not own or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, _Interrupts())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def raise_if_interrupted() -> None:
    """Raise the Ctrl-C that was pressed in `remembered_interrupts` and lost.

    Raises:
        KeyboardInterrupt: it was pressed.
    """
    handler = signal.getsignal(signal.SIGINT)
    if isinstance(handler, _Interrupts) and handler.pressed:
        raise KeyboardInterrupt
