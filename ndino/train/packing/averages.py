"""Each token's weight in a step's loss, whichever samples it is packed with."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from ndino.formats.prompts import IGNORE_INDEX
from ndino.train.batches import TrainingBatch
from ndino.train.packing.plan import PackedBatches


def divisors(
    batches: Sequence[TrainingBatch],
    packed: PackedBatches,
    step: int,
    *,
    samples: int,
    sum_over_ranks: Callable[[torch.Tensor], torch.Tensor],
) -> list[torch.Tensor]:
    """What to divide the loss of each supervised token by, float32 ``(supervised tokens,)`` per micro-batch.

    The sum over all micro-batches and ranks is then the mean of means that the step has without packing: over
    the tokens of each ``samples`` consecutive samples of the step's order, and then over these groups.

    Args:
        batches: this rank's micro-batches of the step, packed.
        step: counted from 0 over all epochs.
    """
    order = packed.order.step_rows(step)
    group_of = {row: place // samples for place, row in enumerate(order)}
    groups = len(order) // samples
    found = [
        _group_of_tokens(batch, [group_of[row] for row in rows])
        for batch, rows in zip(batches, packed.of_step(step), strict=True)
    ]
    tokens = sum_over_ranks(torch.stack([each.bincount(minlength=groups) for each in found]).sum(dim=0))
    return [(tokens[each] * groups).float() for each in found]


def _group_of_tokens(batch: TrainingBatch, groups: Sequence[int]) -> torch.Tensor:
    # A row that had to be replaced has its place in the batch, and so its group, nonetheless.
    device = batch["labels"].device
    of_position = torch.tensor(groups, device=device).repeat_interleave(batch["sample_lengths"].to(device))
    return of_position[1:][batch["labels"][0, 1:] != IGNORE_INDEX]
