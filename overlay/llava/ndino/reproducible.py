"""Repeatable runs: a seed before anything is drawn, a tower in fp32 on CPUs, image_newline trained."""

from __future__ import annotations

import torch
from llava.ndino.parent import follow_parent
from transformers import set_seed
from transformers.utils import is_flash_attn_2_available


def begin(training_args) -> None:
    """Prepare the process: one GPU, seed, attention kernels.

    Upstream draws the projector before it sets a seed.
    """
    follow_parent()
    if training_args.n_gpu > 1:
        # Without a launcher, the Trainer would split each batch over all of them: another effective batch.
        print(f"{training_args.n_gpu} GPUs are visible; one process trains on one of them")
        training_args._n_gpu = 1
    set_seed(training_args.seed)
    # flash_attention_2 is upstream's default. Only the container image has it, and that can be built without.
    if training_args.attn_implementation == "flash_attention_2" and not is_flash_attn_2_available():
        print("flash-attn is not installed: attention by PyTorch's own kernels (sdpa)")
        training_args.attn_implementation = "sdpa"


def keep_precision(vision_tower: torch.nn.Module, training_args) -> None:
    """Make the tower's next ``to`` keep fp32, in a run that is neither bf16 nor fp16.

    Upstream casts the tower to fp16 whenever bf16 is off, even if it is trained, and on CPUs.
    """
    if training_args.bf16 or training_args.fp16:
        return

    def to_once(*arguments, dtype=None, **options):
        del vision_tower.to
        return vision_tower.to(*arguments, dtype=torch.float32, **options)

    vision_tower.to = to_once


def train_newline(model: torch.nn.Module, model_args) -> None:
    """Train image_newline whenever the projector is trained, as the native engine does.

    Upstream freezes it in the projector stage, does not save it, and draws a new one for the next stage.
    """
    newline = getattr(model.get_model(), "image_newline", None)
    if newline is not None and "mm_mlp_adapter" in (model_args.mm_tunable_parts or "").split(","):
        newline.requires_grad_(True)
