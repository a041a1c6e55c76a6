"""Progress bars of an evaluation."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")

# Work that takes less time shows no bar.
DELAY_SECONDS = 2.0


def patience() -> float:
    """Seconds between updates of a bar: few on a terminal, many in a log file, which keeps every one."""
    return 0.5 if sys.__stderr__ is not None and sys.__stderr__.isatty() else 30


def reading(requests: Sequence[T], *, silent: bool) -> tqdm[T]:
    """Iterate over ``requests`` with a bar: their images are all read before the first answer.

    The bar goes to ``sys.__stderr__``, since ``sys.stderr`` may be redirected to swallow the libraries' bars.
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
