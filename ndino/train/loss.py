"""The forward pass and the loss, with logits for supervised positions only."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch.nn.functional import cross_entropy
from transformers import LlavaNextForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutputWithPooling

from ndino.formats.prompts import IGNORE_INDEX
from ndino.train.batches import TrainingBatch


def patch_forward(model: LlavaNextForConditionalGeneration) -> None:
    """Let ``model(**batch, supervised_tokens=…)`` return the loss; its other calls stay as they are.

    The loss has to come out of the model's own call for DDP and FSDP to see the step. A subclass would do,
    were it not that transformers renames a checkpoint's weights for its own classes alone.
    """
    plain_forward = model.forward

    def forward(*arguments, tiles: torch.Tensor | None = None, **options):
        if tiles is None:
            return plain_forward(*arguments, **options)
        supervised_tokens = options.pop("supervised_tokens", None)
        return supervised_loss(model, TrainingBatch(tiles=tiles, **options), supervised_tokens)

    model.forward = forward


def image_features(model: LlavaNextForConditionalGeneration, batch: TrainingBatch) -> list[torch.Tensor]:
    """Projected features of each image, ``(features, hidden)``, unpadded and with newlines.

    transformers' own ``get_image_features`` takes every image for an anyres grid; here an image of one
    tile (one of several in a sample) stays one tile, as upstream has it.
    """
    inner = model.model
    tower = inner.vision_tower(batch["tiles"].to(inner.vision_tower.dtype), output_hidden_states=True)
    patches = tower.hidden_states[model.config.vision_feature_layer][:, 1:]
    projected = inner.multi_modal_projector(patches)
    features, _ = inner.pack_image_features(
        list(torch.split(projected, batch["tile_counts"].tolist())),
        batch["image_sizes"],
        vision_feature_select_strategy="default",
        image_newline=inner.image_newline,
    )
    return features


def last_hidden_state(model: LlavaNextForConditionalGeneration, batch: TrainingBatch) -> torch.Tensor:
    """The language model's last hidden state, ``(samples, length, hidden)``."""
    encoded = None
    if len(batch["tile_counts"]):
        encoded = {"image": BaseModelOutputWithPooling(pooler_output=image_features(model, batch))}
    return model.model(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        mm_encoder_outputs=encoded,
        use_cache=False,
    ).last_hidden_state


def supervised_loss(
    model: LlavaNextForConditionalGeneration,
    batch: TrainingBatch,
    supervised_tokens: torch.Tensor | int | None = None,
) -> torch.Tensor:
    """Summed cross-entropy of the supervised tokens over ``supervised_tokens`` (default: their number).

    A two-sentence answer leaves about 3 % of the positions supervised; logits over a 128k vocabulary for the
    others would be most of the memory of a step.
    """
    # Before the language model, as an image's features are: ranks must gather weights in the same order.
    idle = _idle_tower(model, batch) if dist.is_initialized() and not len(batch["tile_counts"]) else 0
    hidden = last_hidden_state(model, batch)
    targets = batch["labels"][:, 1:]
    supervised = targets != IGNORE_INDEX
    logits = model.lm_head(hidden[:, :-1][supervised]).float()
    total = cross_entropy(logits, targets[supervised], reduction="sum") + idle
    return total / (supervised.sum() if supervised_tokens is None else supervised_tokens)


def _idle_tower(model: LlavaNextForConditionalGeneration, batch: TrainingBatch) -> torch.Tensor:
    # Ranks gather a sharded tower's weights and reduce its gradients together: one whose samples have no
    # image must take part, or all would wait for it.
    # And in turn: ZeRO-3 gathers a weight as soon as it is touched, if only to be asked for its device.
    side = model.config.vision_config.image_size
    blank = TrainingBatch(
        tiles=torch.zeros((1, 3, side, side), device=batch["input_ids"].device),
        tile_counts=torch.tensor([1]),
        image_sizes=torch.tensor([[side, side]]),
    )
    return sum(features.sum() for features in image_features(model, blank)) * 0
