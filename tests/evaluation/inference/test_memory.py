from __future__ import annotations

import pytest
import torch

from ndino.evaluation.inference.memory import MemoryLimit, is_out_of_memory


def holding(most: int, tried: list[int]):
    """Work that runs out of memory with more than ``most`` items."""

    def work(items):
        tried.append(len(items))
        if len(items) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return [10 * item for item in items]

    return work


def test_halves_are_tried_and_what_did_not_fit_is_not_tried_again():
    tried: list[int] = []
    limit, work = MemoryLimit(), holding(3, tried)
    assert limit.run(range(13), work) == [10 * i for i in range(13)]
    assert tried == [13, 6, 3, 3, 3, 3, 1]
    tried.clear()
    assert limit.run(range(7), work) == [10 * i for i in range(7)]
    assert tried == [3, 3, 1]


def test_what_does_not_fit_alone_is_an_error_and_so_is_any_other_error():
    with pytest.raises(torch.OutOfMemoryError):
        MemoryLimit().run(range(4), holding(0, []))

    def broken(items):
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        MemoryLimit().run(range(4), broken)


def test_errors_for_want_of_memory_are_known():
    with pytest.raises(RuntimeError) as refused:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(refused.value) and is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("shapes differ"))
