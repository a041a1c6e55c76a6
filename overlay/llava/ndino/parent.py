"""Ends a trainer when the process that started it ends."""

from __future__ import annotations

import os
import threading

# Set by `ndino.llava_next.engine`, which holds the other end of the trainer's standard input.
FOLLOW = "NDINO_FOLLOW_STDIN"


def follow_parent() -> None:
    """End this process when its standard input is closed, if ``FOLLOW`` is set.

    If the engine is killed, its trainer must not keep writing into a folder that the next run resumes.
    """
    if os.environ.get(FOLLOW) == "1":
        threading.Thread(target=_end_with_stdin, daemon=True).start()


def _end_with_stdin() -> None:
    # Not through sys.stdin: at exit the interpreter would wait for its lock, which a pending read holds.
    while os.read(0, 1):
        pass
    os._exit(1)
