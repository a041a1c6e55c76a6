"""Several processes that evaluate together, each on a GPU of its own, as accelerate starts them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

# The quickest of them may wait that long for the slowest.
PATIENCE = timedelta(hours=24)


@dataclass(frozen=True)
class Processes:
    """This process's number among ``count``."""

    rank: int = 0
    count: int = 1

    @classmethod
    def join(cls) -> Processes:
        """Meet the others, where accelerate has started others."""
        if int(os.environ.get("WORLD_SIZE", "1")) == 1:
            return cls()
        import torch
        from accelerate import PartialState

        state = PartialState(cpu=not torch.accelerator.is_available(), timeout=PATIENCE)
        return cls(state.process_index, state.num_processes)

    @contextlib.contextmanager
    def first_alone(self) -> Iterator[None]:
        """The first process goes ahead, so that the others find what it has written."""
        if self.rank > 0:
            self._wait()
        yield
        if self.rank == 0:
            self._wait()

    def _wait(self) -> None:
        if self.count > 1:
            import torch.distributed

            torch.distributed.barrier()
