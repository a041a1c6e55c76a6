"""Which samples share a micro-batch: those of the step, evenly, the same on every rank and after a resume."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from accelerate.data_loader import SeedableRandomSampler

from ndino.train.packing.plan import PackedBatches, micro_batches, plan_step


def mixed_lengths(rows: int, seed: int = 0) -> np.ndarray:
    """Lengths as of a mix: most rows have an image on a grid of up to five tiles, some are long texts."""
    rng = np.random.default_rng(seed)
    kinds = rng.choice(3, size=rows, p=[0.6, 0.3, 0.1])
    image = rng.choice([1200, 1800, 2400, 2900], size=rows) + rng.integers(20, 300, size=rows)
    square = 600 + rng.integers(20, 800, size=rows)
    text = np.minimum(8192, rng.lognormal(7.5, 0.6, size=rows)).astype(int)
    return np.choose(kinds, [image, square, text]).astype(np.int32)


def batches(lengths, *, ranks=1, rank=0, accumulation=2, effective_batch=16, seed=42):
    return PackedBatches(
        lengths,
        effective_batch=effective_batch,
        accumulation=accumulation,
        seed=seed,
        ranks=ranks,
        rank=rank,
    )


@pytest.mark.parametrize(("ranks", "accumulation"), [(1, 1), (1, 16), (2, 4), (4, 1), (16, 1)])
def test_a_step_has_its_samples_once_each(ranks, accumulation):
    lengths = mixed_lengths(100)
    plan = plan_step(range(3, 19), lengths, ranks=ranks, accumulation=accumulation)
    assert [len(rank) for rank in plan] == [accumulation] * ranks
    assert all(batch for rank in plan for batch in rank)
    assert sorted(row for rank in plan for batch in rank for row in batch) == list(range(3, 19))


@pytest.mark.parametrize("epoch", [0, 3])
def test_steps_take_the_rows_in_the_order_without_packing(epoch):
    lengths = mixed_lengths(70)
    # What accelerate makes of the trainer's RandomSampler.
    plain = SeedableRandomSampler(range(70), generator=torch.Generator(), data_seed=42)
    plain.set_epoch(epoch)
    order = list(plain)
    ranks = [batches(lengths, ranks=2, rank=rank) for rank in range(2)]
    for each in ranks:
        each.set_epoch(epoch)
    planned = [list(each) for each in ranks]
    assert [len(each) for each in planned] == [len(each) for each in ranks] == [8, 8]
    for step in range(4):
        of_step = [row for each in planned for batch in each[2 * step : 2 * step + 2] for row in batch]
        assert sorted(of_step) == sorted(order[16 * step : 16 * step + 16])


def test_the_epochs_differ_and_can_be_repeated():
    each = batches(mixed_lengths(64))
    first = list(each)
    each.set_epoch(1)
    assert list(each) != first
    each.set_epoch(0)
    assert list(each) == first


@pytest.mark.parametrize(("effective_batch", "per_device_batch"), [(128, 2), (128, 4), (256, 8)])
def test_sixteen_ranks_hardly_wait_for_each_other(effective_batch, per_device_batch):
    lengths = mixed_lengths(4 * effective_batch)
    budget = 8192 * per_device_batch
    accumulation = micro_batches(lengths, effective_batch=effective_batch, ranks=16, tokens=budget)
    used = waited = 0
    loaders = [
        list(
            batches(lengths, ranks=16, rank=rank, effective_batch=effective_batch, accumulation=accumulation)
        )
        for rank in range(16)
    ]
    # Ranks that share weights wait after each micro-batch, for the one with the most tokens.
    for together in zip(*loaders, strict=True):
        tokens = [int(lengths[batch].sum()) for batch in together]
        assert max(tokens) <= budget
        used += sum(tokens)
        waited += 16 * max(tokens)
    assert used / waited >= 0.98


@pytest.mark.parametrize(
    ("length", "tokens", "expected"), [(100, 1600, 1), (100, 800, 1), (100, 799, 2), (100, 1, 8)]
)
def test_a_step_has_as_few_micro_batches_as_fit(length, tokens, expected):
    lengths = np.full(50, length, dtype=np.int32)
    assert micro_batches(lengths, effective_batch=16, ranks=2, tokens=tokens) == expected


def test_no_micro_batch_is_empty():
    rng = np.random.default_rng(0)
    for _ in range(500):
        count = int(rng.integers(1, 9))
        lengths = rng.choice([1, 2, 5, 50, 8192], size=int(rng.integers(count, count + 6)))
        (plan,) = plan_step(range(len(lengths)), lengths, ranks=1, accumulation=count)
        assert len(plan) == count and all(plan)
