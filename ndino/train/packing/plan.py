"""Which samples share a micro-batch when they are packed: as many tokens in each as can be.

A step trains the same samples in the same random order as without packing. They are only distributed anew
over the step's micro-batches, so that these have about equally many tokens and no rank waits long for
another. `ndino.train.packing.averages` keeps each token's weight, so nothing changes but rounding.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from ndino.train.rows.order import EpochSampler

MicroBatch = list[int]  # positions of samples in the data set


def micro_batches(lengths: np.ndarray, *, effective_batch: int, ranks: int, tokens: int) -> int:
    """How many micro-batches each of ``ranks`` needs for a step, so that none has more than ``tokens``.

    It is one number for all steps. They differ in their tokens: four standard deviations are left for that.

    Args:
        lengths: int ``(rows,)``, tokens of each sample.
    """
    step = effective_batch * float(lengths.mean()) + 4 * math.sqrt(effective_batch) * float(lengths.std())
    most = min(step, effective_batch * float(lengths.max()))
    return max(1, min(math.ceil(most / (ranks * tokens)), effective_batch // ranks))


def plan_step(
    rows: Sequence[int], lengths: np.ndarray, *, ranks: int, accumulation: int
) -> list[list[MicroBatch]]:
    """The micro-batches of one optimiser step: for each rank ``accumulation`` of them, none empty.

    Ranks that share weights wait for each other after each micro-batch. So all get about equally many tokens,
    and those most alike are trained at the same time.

    Args:
        rows: the step's samples, at least ``ranks * accumulation``.
        lengths: int ``(rows of the data,)``, tokens of each sample.
    """
    batches = _split(rows, lengths, ranks * accumulation)
    batches.sort(key=lambda batch: -int(lengths[batch].sum()))
    plan: list[list[MicroBatch]] = [[] for _ in range(ranks)]
    for start in range(0, len(batches), ranks):
        together = batches[start : start + ranks]
        # Every second time the other way round, so that the sums of the ranks are alike as well.
        for rank, batch in enumerate(together if start // ranks % 2 == 0 else reversed(together)):
            plan[rank].append(batch)
    return plan


def _split(rows: Sequence[int], lengths: np.ndarray, count: int) -> list[MicroBatch]:
    """Samples in ``count`` parts with sums as equal as can be found quickly, none empty.

    The differencing method of Karmarkar and Karp (1982): of all partial splits, the two with the largest
    differences are joined, the large parts of one with the small parts of the other. Longest first to the
    smallest part is simpler, and leaves ranks waiting twice as long.
    """
    splits = []
    for order, row in enumerate(sorted(rows, key=lambda row: (-lengths[row], row))):
        parts = [(0, [])] * (count - 1) + [(int(lengths[row]), [row])]
        splits.append((-parts[-1][0], order, parts))
    heapq.heapify(splits)
    order = len(splits)
    while len(splits) > 1:
        (_, _, one), (_, _, other) = heapq.heappop(splits), heapq.heappop(splits)
        joined = [
            (tokens + more, batch + rest)
            for (tokens, batch), (more, rest) in zip(one, reversed(other), strict=True)
        ]
        joined.sort(key=lambda part: part[0])
        heapq.heappush(splits, (joined[0][0] - joined[-1][0], order, joined))
        order += 1
    return [batch for _, batch in splits[0][2]]


class PackedBatches(torch.utils.data.Sampler[MicroBatch]):
    """Yields this rank's micro-batches of each epoch, step by step.

    Order and plan depend on lengths, seed, epoch, ranks and accumulation only: all ranks agree without
    talking, and a resumed run gets what it would have had.

    Args:
        lengths: int ``(rows,)``, tokens of each sample, at least ``effective_batch`` of them.
    """

    def __init__(
        self,
        lengths: np.ndarray,
        *,
        effective_batch: int,
        accumulation: int,
        seed: int,
        ranks: int = 1,
        rank: int = 0,
    ) -> None:
        self.lengths = lengths
        self.order = EpochSampler(len(lengths), effective_batch, seed=seed)
        self.accumulation = accumulation
        self.ranks = ranks
        self.rank = rank
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next iteration; the Trainer calls this."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.order.steps * self.accumulation

    def __iter__(self) -> Iterator[MicroBatch]:
        first = self.epoch * self.order.steps
        for step in range(first, first + self.order.steps):
            yield from self.of_step(step)

    def of_step(self, step: int) -> list[MicroBatch]:
        """This rank's micro-batches of an optimiser step; ``step`` is counted from 0 over all epochs."""
        rows = self.order.step_rows(step)
        return plan_step(rows, self.lengths, ranks=self.ranks, accumulation=self.accumulation)[self.rank]
