"""``accelerate launch … -m tests.train.sharded_on_cpu ARGUMENTS…``: ndino.train, sharded over CPU ranks.

accelerate shards over GPUs alone. Here it takes each rank's CPU for one, with gloo in NCCL's place; all that
comes after that choice, in accelerate, transformers, PyTorch, DeepSpeed and this project, is as on a cluster.
"""

from __future__ import annotations

import os
import sys


def shard() -> None:
    """Must come before anything asks which devices there are."""
    os.environ.update(ACCELERATE_TORCH_DEVICE="cpu", DS_ACCELERATOR="cpu")
    from accelerate.state import PartialState
    from accelerate.utils import DistributedType

    from ndino.train import engine

    PartialState._prepare_backend = lambda *_, **__: ("gloo", DistributedType.MULTI_GPU)
    arguments = engine.TrainingArguments
    engine.TrainingArguments = lambda **options: arguments(**options | {"use_cpu": False})
    engine.NativeTrainer.training_step = _then_look_at_gradients(engine.NativeTrainer.training_step)


def _then_look_at_gradients(training_step):
    """FSDP2 must split the gradients of every micro-batch: until it does, a rank holds them whole."""

    def step(trainer, model, *arguments):
        loss = training_step(trainer, model, *arguments)
        if trainer.is_fsdp_enabled and model.lm_head.weight.requires_grad:
            from torch.distributed.tensor import DTensor

            gradient = model.lm_head.weight.grad
            assert isinstance(gradient, DTensor), f"unsharded gradients are kept: {type(gradient)}"
        return loss

    return step


if __name__ == "__main__":
    shard()
    from ndino.cli import main

    sys.exit(main(command="train"))
