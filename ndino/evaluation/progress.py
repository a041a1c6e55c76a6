"""What a user sees of the time before a model answers."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")

# What takes less is not worth a bar.
DELAY_SECONDS = 2.0


def patience() -> float:
    """Seconds between two states of a bar: few on a terminal, many in a log, which keeps every one."""
    return 0.5 if sys.__stderr__.isatty() else 30


def reading(requests: Sequence[T], *, silent: bool) -> tqdm[T]:
    """``requests`` with a bar while their images are read, which comes before the first answer.

    It goes to the process's own standard error, since ``sys.stderr`` may swallow the libraries' bars.
    """
    return tqdm(
        requests,
        desc="Reading images",
        unit="q",
        file=sys.__stderr__,
        delay=DELAY_SECONDS,
        mininterval=patience(),
        leave=False,
        disable=silent,
    )
