"""A trainer that does not outlive the process that started it."""

from __future__ import annotations

import os
import threading

# Set by `ndino.llava_next.engine`, which then holds the other end of standard input.
FOLLOW = "NDINO_FOLLOW_STDIN"


def follow_parent() -> None:
    """End this process when standard input is closed, if it was started to do so.

    A killed engine must not leave a trainer writing into a folder that the next start takes over.
    """
    if os.environ.get(FOLLOW) == "1":
        threading.Thread(target=_end_with_stdin, daemon=True).start()


def _end_with_stdin() -> None:
    # Not by way of sys.stdin: the interpreter could not close that while it is being read.
    while os.read(0, 1):
        pass
    os._exit(1)
