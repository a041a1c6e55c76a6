"""Each kind of fault in many right translations: the guards find it, and let the right ones pass."""

from __future__ import annotations

import pytest

from benchmarks.guard_faults.faults import OTHERS, PAIR_FAULTS, SENTENCES_IN, TEXT_FAULTS
from benchmarks.guard_faults.right import examples
from benchmarks.guards import GOAL, missed, refusals, right_ways, spoilt

MADE = list(examples(seed=1, count=80))
PLANTED = spoilt(MADE)


def test_right_translations_pass_in_every_way_to_write_them() -> None:
    refused = [
        (way, reason)
        for some in right_ways(MADE)
        for (_, way), reason in zip(some, refusals(some), strict=True)
        if reason
    ]
    assert not refused


@pytest.mark.parametrize(
    "kind",
    [
        *PAIR_FAULTS,
        *TEXT_FAULTS,
        *(f"text in {name}" for name in OTHERS),
        *(f"sentence in {name}" for name in SENTENCES_IN),
    ],
)
def test_a_planted_fault_is_found(kind: str) -> None:
    some = PLANTED[kind]
    left = missed(some)
    assert len(left) <= (1 - GOAL) * len(some), left
