"""The model class that the engine trains."""

from __future__ import annotations

import torch
import transformers

from ndino.train.batches import Batch
from ndino.train.loss import supervised_loss


class LlavaNextForConditionalGeneration(transformers.LlavaNextForConditionalGeneration):
    """transformers' class, whose call also takes a ``Batch`` and then returns its loss.

    The loss has to come out of ``forward`` for DDP and FSDP to see the step. The name stays transformers' own
    because it is written into every checkpoint's config.json.
    """

    def forward(self, *arguments, tiles: torch.Tensor | None = None, **options):
        if tiles is None:
            return super().forward(*arguments, **options)
        supervised_tokens = options.pop("supervised_tokens", None)
        return supervised_loss(self, Batch(tiles=tiles, **options), supervised_tokens)
