"""Runs that start and give the same weights twice: seeded in time, tower in fp32, image_newline trained."""

from __future__ import annotations

import torch
from llava.ndino.parent import follow_parent
from PIL import Image
from transformers import set_seed
from transformers.utils import is_flash_attn_2_available

from ndino.common.images import MAX_IMAGE_PIXELS


def begin(training_args) -> None:
    """Seed before anything is drawn (upstream draws the projector unseeded), and admit the paper's large
    images, which upstream would replace by the next sample."""
    follow_parent()
    set_seed(training_args.seed)
    Image.MAX_IMAGE_PIXELS = MAX_IMAGE_PIXELS
    # Upstream's default; only an image has it, where it was not left out.
    if training_args.attn_implementation == "flash_attention_2" and not is_flash_attn_2_available():
        print("flash-attn is not installed: attention by PyTorch's own kernels (sdpa)")
        training_args.attn_implementation = "sdpa"


def keep_precision(vision_tower: torch.nn.Module, training_args) -> None:
    """Let the tower's next ``to`` leave it in fp32 in a run that is neither bf16 nor fp16.

    Upstream halves the tower to fp16 whenever bf16 is off, also where it is trained and on CPU.
    """
    if training_args.bf16 or training_args.fp16:
        return

    def to_once(*arguments, dtype=None, **options):
        del vision_tower.to
        return vision_tower.to(*arguments, dtype=torch.float32, **options)

    vision_tower.to = to_once


def train_newline(model: torch.nn.Module, model_args) -> None:
    """Train image_newline wherever the projector is trained, as the native engine does.

    Upstream freezes it in the projector's stage at a draw that no later stage has seen.
    """
    newline = getattr(model.get_model(), "image_newline", None)
    if newline is not None and "mm_mlp_adapter" in (model_args.mm_tunable_parts or "").split(","):
        newline.requires_grad_(True)
