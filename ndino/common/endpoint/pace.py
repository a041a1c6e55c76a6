"""How many requests are on their way at a time, and when the server wants fewer or none for a while."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Pace:
    """At most ``most`` requests at a time: half as many whenever the server says that they are too many.

    Each answer allows a little more again, one request more for as many answers as requests are allowed.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        # How many requests may be on their way; the whole part counts.
        self.allowed = float(most)
        self._now = 0
        self._not_before = 0.0
        self._free = asyncio.Condition()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait until a request may be sent, and count it until the block ends."""
        async with self._free:
            await self._free.wait_for(lambda: self._now < int(self.allowed))
            self._now += 1
        try:
            while (seconds := self._not_before - time.monotonic()) > 0:
                await asyncio.sleep(seconds)
            yield
        finally:
            async with self._free:
                self._now -= 1
                self._free.notify_all()

    def answered(self) -> None:
        """Count an answer."""
        self.allowed = min(self._most, self.allowed + 1 / self.allowed)

    def too_many(self) -> None:
        """Allow half as many requests from now on, at least one."""
        self.allowed = max(1.0, self.allowed / 2)

    def nothing_for(self, seconds: float) -> None:
        """Send nothing for ``seconds``."""
        self._not_before = max(self._not_before, time.monotonic() + seconds)
