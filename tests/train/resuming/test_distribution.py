"""How ranks share a model: what a launcher sets, and who can read whose checkpoints."""

from __future__ import annotations

import pytest

from ndino.train.resuming.distribution import Distribution, current, must_convert, planned, resumes, way_out

SINGLE, DDP, FSDP = Distribution("single", 1), Distribution("ddp", 4), Distribution("fsdp2", 4)
ZERO2, ZERO3 = Distribution("zero2", 4), Distribution("zero3", 4)
ALL = (SINGLE, DDP, FSDP, ZERO2, ZERO3)


@pytest.mark.parametrize(
    ("launcher", "variables", "expected"),
    [
        ("ddp", {"WORLD_SIZE": "4"}, DDP),
        ("fsdp", {"WORLD_SIZE": "4", "ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}, FSDP),
        (
            "zero2",
            {"WORLD_SIZE": "4", "ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_ZERO_STAGE": "2"},
            ZERO2,
        ),
        (
            "zero3",
            {"WORLD_SIZE": "4", "ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_ZERO_STAGE": "3"},
            ZERO3,
        ),
    ],
)
def test_a_job_s_plan_is_what_its_ranks_find(launcher, variables, expected):
    assert planned(launcher, 4) == current(variables) == expected
    assert planned(launcher, 1) == current({}) == SINGLE


def test_a_rank_that_offloads_to_the_cpu_has_a_launcher_even_alone():
    variables = {"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_ZERO_STAGE": "3"}
    assert planned("zero3_offload", 1) == current(variables) == Distribution("zero3", 1)
    assert planned("zero3_offload", 4) == ZERO3


def test_who_can_resume_whose_checkpoints():
    can = {(held, now) for held in ALL for now in ALL if resumes(held, now)}
    assert can == {(one, one) for one in ALL} | {(SINGLE, DDP), (DDP, SINGLE)}
    more = {one: Distribution(one.kind, 8) for one in (DDP, FSDP, ZERO2, ZERO3)}
    assert all(resumes(one, other) for one, other in more.items())
    assert [one.kind for one, other in more.items() if must_convert(one, other)] == ["zero2", "zero3"]
    assert not any(must_convert(one, other) for one in ALL for other in ALL)
    without = [one.kind for one, other in more.items() if resumes(one, other, converts=False)]
    assert without == ["ddp", "fsdp2"], "the upstream engine's DeepSpeed"


@pytest.mark.parametrize("converts", [True, False])
def test_the_way_out_resumes(converts):
    for held in ALL:
        words = way_out(held, converts=converts).split()
        launcher = words[0].removeprefix("DISTRIBUTED=")
        ranks = int(words[2]) if words[2].isdigit() else 8
        assert resumes(held, planned(launcher, ranks), converts=converts), words
