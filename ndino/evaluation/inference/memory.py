"""Work in parts that fit into memory: after running out of it, halves are tried from then on."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from typing import TypeVar

from loguru import logger

T = TypeVar("T")
R = TypeVar("R")

# What PyTorch's allocator for the CPU says; it has no error class of its own.
_ON_CPU = "can't allocate memory"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a device or the machine has no memory left."""
    import torch  # late, since `--help` imports this module

    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError) and _ON_CPU in str(error)
    )


class MemoryLimit:
    """How much can be worked on at once, as far as it is known.

    Attributes:
        most: items at once; None as long as memory has sufficed.
    """

    def __init__(self) -> None:
        self.most: int | None = None

    def run(self, items: Sequence[T], work: Callable[[Sequence[T]], Sequence[R]]) -> list[R]:
        """``work(items)``, in as many parts as memory wants.

        Args:
            work: gives one result for each item of a part.

        Raises:
            torch.OutOfMemoryError: a single item does not fit; so do other errors of ``work``.
        """
        results: list[R] = []
        while len(results) < len(items):
            size = min(len(items), self.most or len(items))
            part = items[len(results) : len(results) + size]
            found = self._try(part, work)
            if found is not None:
                results += found
        return results

    def _try(self, part: Sequence[T], work: Callable[[Sequence[T]], Sequence[R]]) -> Sequence[R] | None:
        """The part's results; None where it must be smaller."""
        try:
            return work(part)
        except Exception as error:
            if len(part) == 1 or not is_out_of_memory(error):
                raise
        # Only now, since the error held what the failed work had allocated.
        self.most = len(part) // 2
        gc.collect()
        import torch  # late, see above

        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        logger.warning(f"out of memory with {len(part)} at once; continues with {self.most}")
        return None
