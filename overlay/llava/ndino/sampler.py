"""Batches of samples of similar length, for any number of ranks and accumulation steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

POOL = 32  # effective batches that are sorted together; a larger pool pads less but mixes samples less


class LengthGroupedSampler(torch.utils.data.Sampler):
    """Yields row indices, shuffled anew each epoch; the order depends on seed and epoch only.

    Ranks take consecutive batches in turn, so ``ranks * batch_size`` consecutive rows are one micro-step. The
    rows of a micro-step have similar lengths: within a batch there is little padding, and no rank waits long
    for another. Micro-steps are shuffled, so that the ``accumulation`` of them that make up an optimiser step
    have different lengths; otherwise a step would learn from long samples only, or from short ones.

    Upstream's own sampler mixes long and short rows within a batch to equal sums, ignores the tokens of
    images, and treats accumulation steps as ranks.
    """

    def __init__(
        self, lengths: Sequence[int], *, batch_size: int, ranks: int, accumulation: int, seed: int
    ) -> None:
        self.lengths = lengths
        self.micro_step = ranks * batch_size
        self.pool = POOL * accumulation * self.micro_step
        self.seed = seed
        # The epoch that __iter__ starts next. On resume it is set to the number of finished epochs.
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
        # An incomplete micro-step comes last: anywhere else it would shift the boundaries of all that follow.
        rest = [steps.pop()] if steps and len(steps[-1]) < self.micro_step else []
        shuffled = [steps[index] for index in torch.randperm(len(steps), generator=generator)]
        return (row for step in shuffled + rest for row in step)
