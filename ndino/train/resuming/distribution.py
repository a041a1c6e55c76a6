"""How the ranks of a run share its model and optimiser, which decides who can read its checkpoints.

Neither PyTorch nor transformers are loaded here: the cluster's checks run on login nodes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# Every rank has the whole state, so that any number of ranks can resume it.
WHOLE = ("single", "ddp")
OFFLOAD = "zero3_offload"  # ZeRO-3 with weights in the CPU's memory; its checkpoints are ZeRO-3's
FSDP_FOLDER = "pytorch_model_fsdp_0"  # accelerate's name for the sharded weights in a checkpoint


@dataclass(frozen=True)
class Distribution:
    """``kind``: single, ddp, fsdp2, zero2 or zero3; ``ranks``: the processes that train together."""

    kind: str
    ranks: int

    def __str__(self) -> str:
        return self.kind if self.kind == "single" else f"{self.kind} on {self.ranks} ranks"


def planned(launcher: str, ranks: int) -> Distribution:
    """The distribution of a job; ``launcher`` is the name of a file in ``launch/accelerate``."""
    # launch/body/node.sh starts a rank that is alone without accelerate's launcher.
    if ranks == 1 and launcher != OFFLOAD:
        return Distribution("single", 1)
    return Distribution({"fsdp": "fsdp2", OFFLOAD: "zero3"}.get(launcher, launcher), ranks)


def current(environment: Mapping[str, str] = os.environ) -> Distribution:
    """The distribution of this process, from the variables that accelerate's or PyTorch's launcher sets."""
    ranks = int(environment.get("WORLD_SIZE", "1"))
    if environment.get("ACCELERATE_USE_DEEPSPEED") == "true":
        return Distribution(f"zero{environment.get('ACCELERATE_DEEPSPEED_ZERO_STAGE', '2')}", ranks)
    if environment.get("ACCELERATE_USE_FSDP") == "true":
        return Distribution(f"fsdp{environment.get('FSDP_VERSION', '1')}", ranks)
    return Distribution("single" if ranks == 1 else "ddp", ranks)


def inferred(checkpoint: Path) -> Distribution:
    """The distribution that wrote a checkpoint, from the names of its files."""
    if (checkpoint / FSDP_FOLDER).is_dir():
        return Distribution("fsdp2", _count(checkpoint, "rng_state*.pth"))
    if ranks := _count(checkpoint, "global_step*/*_optim_states.pt"):
        # Under ZeRO-3 each rank also holds a part of the weights.
        split = _count(checkpoint, "global_step*/zero_pp_rank_*_model_states.pt")
        return Distribution("zero3" if split else "zero2", ranks)
    ranks = _count(checkpoint, "rng_state*.pth")
    return Distribution("ddp" if ranks > 1 else "single", max(1, ranks))


def _count(folder: Path, pattern: str) -> int:
    return sum(1 for _ in folder.glob(pattern))


def resumes(held: Distribution, now: Distribution, *, converts: bool = True) -> bool:
    """Whether ranks of ``now`` can read the optimiser's state that ranks of ``held`` wrote.

    Args:
        converts: whether ZeRO's checkpoints can be converted (`must_convert`), as in the native engine. Not
            from ZeRO-2 to ZeRO-3 or back: DeepSpeed 0.19 fails to load these.
    """
    if held.kind in WHOLE or now.kind in WHOLE:
        return held.kind in WHOLE and now.kind in WHOLE
    # FSDP2 writes through torch.distributed.checkpoint, which splits anew for the ranks that read.
    return held.kind == now.kind and (converts or held.kind == "fsdp2" or held.ranks == now.ranks)


def must_convert(held: Distribution, now: Distribution) -> bool:
    """Whether what ranks of ``held`` wrote becomes a universal checkpoint before ranks of ``now`` read it."""
    return held.kind.startswith("zero") and held.kind == now.kind and held.ranks != now.ranks


def way_out(held: Distribution, *, converts: bool = True) -> str:
    """The launcher setting that can resume what ranks of ``held`` wrote."""
    if held.kind in WHOLE:
        return "DISTRIBUTED=ddp on any number of ranks"
    launcher = "fsdp" if held.kind == "fsdp2" else held.kind
    if converts or held.kind == "fsdp2":
        return f"DISTRIBUTED={launcher} on any number of ranks above 1"
    return f"DISTRIBUTED={launcher} on {held.ranks} ranks"
