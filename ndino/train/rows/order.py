"""The order in which rows are trained on, the same in both engines and on any number of ranks."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from ndino.train.rows.steps import steps_of_epoch


def epoch_rows(rows: int, effective_batch: int) -> int:
    """How many of ``rows`` an epoch takes: the largest multiple of the effective batch."""
    return steps_of_epoch(rows, effective_batch) * effective_batch


def epoch_order(rows: int, effective_batch: int, *, seed: int, epoch: int) -> list[int]:
    """Row indices of an epoch in random order; an optimiser step takes the next ``effective_batch`` of them.

    The order is the one in which accelerate's ``SeedableRandomSampler`` yields, which the native engine uses.
    """
    generator = torch.Generator().manual_seed(seed + epoch)
    return torch.randperm(rows, generator=generator)[: epoch_rows(rows, effective_batch)].tolist()


class EpochSampler(torch.utils.data.Sampler):
    """Yields `epoch_order`, each time of the next epoch.

    Attributes:
        steps: optimiser steps of an epoch.
        epoch: the one that is yielded next. On a resume it is set to the number of finished epochs.
    """

    def __init__(self, rows: int, effective_batch: int, *, seed: int) -> None:
        self.rows = rows
        self.effective_batch = effective_batch
        self.seed = seed
        self.steps = steps_of_epoch(rows, effective_batch)
        self.epoch = 0
        self._held: tuple[int, list[int]] | None = None

    def __len__(self) -> int:
        return epoch_rows(self.rows, self.effective_batch)

    def __iter__(self) -> Iterator[int]:
        self.epoch += 1
        return iter(self._order(self.epoch - 1))

    def step_rows(self, step: int) -> list[int]:
        """The rows of an optimiser step; ``step`` is counted from 0 over all epochs."""
        epoch, at = divmod(step, self.steps)
        return self._order(epoch)[at * self.effective_batch : (at + 1) * self.effective_batch]

    def _order(self, epoch: int) -> list[int]:
        if self._held is None or self._held[0] != epoch:
            order = epoch_order(self.rows, self.effective_batch, seed=self.seed, epoch=epoch)
            self._held = epoch, order
        return self._held[1]
