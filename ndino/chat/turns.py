"""One answer at a time, in the order of asking: two at once would halve each other's tokens per second."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition

# How often those who wait are told so, by which it is noticed that they have left.
TOLD_EVERY = 0.5  # seconds


class Turns:
    """A queue; each of its waiting threads has a `turn`."""

    def __init__(self) -> None:
        self._queue: deque[object] = deque()
        self._changed = Condition()

    @contextmanager
    def turn(self, waiting: Callable[[int], None]) -> Iterator[None]:
        """Wait for one's turn, and have it inside the block.

        Args:
            waiting: called twice a second with the number of those before; what it raises ends the waiting.
        """
        ticket = object()
        with self._changed:
            self._queue.append(ticket)
        try:
            while before := self._before(ticket):
                waiting(before)
                with self._changed:
                    self._changed.wait_for(lambda: self._queue[0] is ticket, timeout=TOLD_EVERY)
            yield
        finally:
            with self._changed:
                self._queue.remove(ticket)
                self._changed.notify_all()

    def _before(self, ticket: object) -> int:
        with self._changed:
            return self._queue.index(ticket)
