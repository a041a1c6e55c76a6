"""Grouping by length: every row once, similar lengths together, ranks distinguished from accumulation."""

from __future__ import annotations

import importlib.util
import random
from pathlib import Path

import pytest

FILE = Path(__file__).parents[2] / "overlay" / "llava" / "ndino" / "sampler.py"


@pytest.fixture(scope="module")
def Sampler():
    # By its path: the package llava is upstream's, and not in this environment.
    spec = importlib.util.spec_from_file_location("sampler", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.LengthGroupedSampler


@pytest.fixture
def lengths() -> list[int]:
    rng = random.Random(0)
    return [rng.choice((40, 900, 2400)) + rng.randint(0, 200) for _ in range(2048)]


def micro_steps(order: list[int], size: int) -> list[list[int]]:
    return [order[start : start + size] for start in range(0, len(order), size)]


def spread(lengths: list[int], groups: list[list[int]]) -> float:
    """Mean share of a group that is padding."""
    shares = [
        1 - sum(lengths[row] for row in group) / (len(group) * max(lengths[row] for row in group))
        for group in groups
    ]
    return sum(shares) / len(shares)


@pytest.mark.parametrize("ranks, accumulation", [(1, 1), (4, 1), (4, 8), (1, 16)])
def test_a_micro_step_pads_little_on_any_ranks(Sampler, lengths, ranks, accumulation):
    order = list(Sampler(lengths, batch_size=2, ranks=ranks, accumulation=accumulation, seed=1))
    assert sorted(order) == list(range(len(lengths)))
    unsorted = list(range(len(lengths)))
    random.Random(1).shuffle(unsorted)
    grouped = spread(lengths, micro_steps(order, 2 * ranks))
    assert grouped < 0.5 * spread(lengths, micro_steps(unsorted, 2 * ranks))
    assert grouped < 0.12


def test_an_optimiser_step_mixes_lengths(Sampler, lengths):
    """Accumulated micro-steps differ in length: a step must not learn from long samples only."""
    order = list(Sampler(lengths, batch_size=2, ranks=2, accumulation=8, seed=1))
    mixed = 0
    for step in micro_steps(order, 2 * 2 * 8):
        means = [sum(lengths[row] for row in micro) / len(micro) for micro in micro_steps(step, 2 * 2)]
        mixed += max(means) > 2 * min(means)
    assert mixed / len(micro_steps(order, 2 * 2 * 8)) > 0.95


def test_the_order_depends_on_seed_and_epoch(Sampler, lengths):
    options = dict(batch_size=4, ranks=1, accumulation=1)
    one, two = Sampler(lengths, seed=1, **options), Sampler(lengths, seed=1, **options)
    first = list(one)
    assert first == list(two)
    assert list(one) == list(two) != first
    assert list(Sampler(lengths, seed=2, **options)) != first


def test_a_remainder_comes_last(Sampler):
    lengths = list(range(1, 24))
    order = list(Sampler(lengths, batch_size=4, ranks=1, accumulation=1, seed=3))
    assert sorted(order) == list(range(23)) and len(order) == 23
    steps = micro_steps(order, 4)
    assert [len(step) for step in steps] == [4, 4, 4, 4, 4, 3]
