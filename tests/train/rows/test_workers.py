"""How many processes read the images of a rank, and that the samples do not depend on it."""

from __future__ import annotations

import os

import pytest
import torch

from ndino.train.dataset import ConversationDataset
from ndino.train.rows.building import make_index
from ndino.train.rows.index import open_index
from ndino.train.rows.workers import TINY_ROWS, loader_workers, ranks_on_this_machine


@pytest.mark.parametrize(
    ("cpus", "ranks", "expected"), [(32, 4, 8), (128, 4, 8), (12, 4, 3), (2, 4, 0), (1, 1, 1)]
)
def test_ranks_share_the_cpus_of_the_machine(cpus, ranks, expected, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cpus)))
    assert loader_workers(None, rows=TINY_ROWS, ranks_here=ranks) == expected
    assert loader_workers(None, rows=TINY_ROWS - 1, ranks_here=ranks) == 0
    assert loader_workers(5, rows=1, ranks_here=ranks) == 5


def test_the_launcher_says_how_many_ranks_are_here(monkeypatch):
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert ranks_on_this_machine() == 1
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert ranks_on_this_machine() == 4


def test_samples_and_their_order_do_not_depend_on_workers(built, rows, recipe, tmp_path):
    folder = make_index(rows / "rows.jsonl", rows / "images", built[1], recipe, beside=tmp_path / "run")
    found = []
    for workers in (0, 2):
        torch.manual_seed(7)
        dataset = ConversationDataset(open_index(folder), rows / "images", built[1])
        loader = torch.utils.data.DataLoader(dataset, batch_size=None, shuffle=True, num_workers=workers)
        found.append(list(loader))
        found[-1].append(torch.rand(3))  # drawn afterwards, as dropout would be
    for alone, shared in zip(*(samples[:-1] for samples in found), strict=True):
        assert alone["row"] == shared["row"]
        assert torch.equal(alone["tiles"][0].pixels, shared["tiles"][0].pixels)
    assert torch.equal(found[0][-1], found[1][-1])
