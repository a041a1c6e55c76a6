"""An event loop in a thread of its own: Ctrl-C would leave its tasks half done."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")
_END = object()


def in_background(
    work: Callable[[Callable[[T], None]], Coroutine[Any, Any, None]], take: Callable[[T], object]
) -> None:
    """Run ``work`` in another thread, and call ``take`` in this one with whatever ``work`` gives away.

    Ctrl-C cancels ``work``; what it gave away by then is taken nonetheless.

    Raises whatever ``work`` raises. ``take`` must raise nothing else than `KeyboardInterrupt`.
    """
    given: SimpleQueue[Any] = SimpleQueue()

    async def whole() -> None:
        try:
            await work(given.put)
        finally:
            given.put(_END)

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        future, one = asyncio.run_coroutine_threadsafe(whole(), loop), None
        try:
            while (one := given.get()) is not _END:
                take(one)
        except KeyboardInterrupt:
            future.cancel()
            while one is not _END:
                with contextlib.suppress(KeyboardInterrupt):
                    if one is not None:  # taken a second time where the first was cut off
                        take(one)
                one = given.get()
            raise
        future.result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
