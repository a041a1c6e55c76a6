"""Processes that evaluate together, as accelerate starts them: one per GPU."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

# How long a process that is done waits for the slowest; torch.distributed's default is minutes.
PATIENCE = timedelta(hours=24)


@dataclass(frozen=True)
class Processes:
    """This process's ``rank`` among ``count`` processes."""

    rank: int = 0
    count: int = 1

    @classmethod
    def join(cls) -> Processes:
        """Join the other processes where accelerate started several; by itself a process is rank 0 of 1."""
        if int(os.environ.get("WORLD_SIZE", "1")) == 1:
            return cls()
        import torch
        from accelerate import PartialState

        state = PartialState(cpu=not torch.accelerator.is_available(), timeout=PATIENCE)
        return cls(state.process_index, state.num_processes)

    @contextlib.contextmanager
    def first_alone(self) -> Iterator[None]:
        """Let the first process go ahead, so that the others find what it has written."""
        if self.rank > 0:
            self._wait()
        yield
        if self.rank == 0:
            self._wait()

    def _wait(self) -> None:
        if self.count > 1:
            import torch.distributed

            torch.distributed.barrier()
