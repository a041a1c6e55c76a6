"""Batches of samples of like length, for any number of ranks and accumulation steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

POOL = 32  # effective batches that are sorted together; more pads less and mixes less


class LengthGroupedSampler(torch.utils.data.Sampler):
    """Row numbers, drawn anew every epoch under ``seed`` alone.

    Ranks take consecutive batches in turn, so ``ranks * batch_size`` consecutive rows are one micro-step: the
    rows of a micro-step have like lengths, within a batch (little padding) and between ranks (little
    waiting). Micro-steps are shuffled, so that the ``accumulation`` of them that make an optimiser step
    differ in length. Upstream deals out a sorted effective batch round by sums, long beside short, and counts
    accumulation as if it were ranks.
    """

    def __init__(
        self, lengths: Sequence[int], *, batch_size: int, ranks: int, accumulation: int, seed: int
    ) -> None:
        self.lengths = lengths
        self.micro_step = ranks * batch_size
        self.pool = POOL * accumulation * self.micro_step
        self.seed = seed
        # Counts the epochs begun; a resume sets it to those that are finished.
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        self.epoch += 1
        order = torch.randperm(len(self.lengths), generator=generator).tolist()
        steps = []
        for start in range(0, len(order), self.pool):
            rows = sorted(order[start : start + self.pool], key=lambda row: -self.lengths[row])
            steps += [rows[at : at + self.micro_step] for at in range(0, len(rows), self.micro_step)]
        # A remainder that fills no micro-step comes last, lest it shift all that follow.
        rest = [steps.pop()] if steps and len(steps[-1]) < self.micro_step else []
        shuffled = [steps[index] for index in torch.randperm(len(steps), generator=generator)]
        return (row for step in shuffled + rest for row in step)
