"""``accelerate launch … sharded_on_cpu.py ARGUMENTS…``: upstream's trainer, sharded over CPU ranks.

As ``tests/train/sharded_on_cpu.py``, in upstream's environment.
"""

from __future__ import annotations

import os


def shard() -> None:
    """Must come before anything asks which devices there are."""
    os.environ.update(ACCELERATE_TORCH_DEVICE="cpu", DS_ACCELERATOR="cpu")
    # DeepSpeed would ask numactl, which is seldom installed, how many there are.
    os.environ["LOCAL_SIZE"] = os.environ["LOCAL_WORLD_SIZE"]
    import torch
    from accelerate.state import PartialState
    from accelerate.utils import DistributedType

    PartialState._prepare_backend = lambda *_, **__: ("gloo", DistributedType.MULTI_GPU)
    gather = torch.distributed.all_gather_into_tensor

    def gather_now(*arguments, **options):
        handle = gather(*arguments, **options)
        if handle is not None:
            handle.wait()
        return handle

    # This DeepSpeed waits for the last of several alone: NCCL's end in their order, gloo's in any.
    torch.distributed.all_gather_into_tensor = gather_now


if __name__ == "__main__":
    shard()
    from llava.train.train import train

    train()
