"""The forward pass and the loss, with logits at supervised positions only."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch.nn.functional import cross_entropy, pad
from transformers import LlavaNextForConditionalGeneration

from ndino.common.transformers_types import vision_sizes
from ndino.formats.prompts import IGNORE_INDEX
from ndino.train.batches import ImageBatch, TrainingBatch
from ndino.train.packing.attention import no_mask


def patch_forward(model: LlavaNextForConditionalGeneration) -> None:
    """Make ``model(**batch, supervised_tokens=…)`` return the loss; calls without ``tiles`` are unchanged.

    The loss must be the result of calling the model, since DDP, FSDP and DeepSpeed hook into that call. It is
    not a subclass, because transformers maps the weight names of saved LLaVA-NeXT models only for its own
    class: a subclass would load and save under other names.
    """
    plain_forward = model.forward

    def forward(*arguments, tiles: torch.Tensor | None = None, **options) -> Any:
        if tiles is None:
            return plain_forward(*arguments, **options)
        supervised_tokens = options.pop("supervised_tokens", None)
        return supervised_loss(model, TrainingBatch(tiles=tiles, **options), supervised_tokens)

    model.forward = forward


def image_features(model: LlavaNextForConditionalGeneration, batch: ImageBatch) -> list[torch.Tensor]:
    """Projected features of each image, ``(features, hidden)``, without padding and with newlines.

    Those of an image that the length limit cuts through end there.

    transformers' ``get_image_features`` treats every image as an anyres grid. Here an image with one tile
    (one of several in a sample) stays a single tile, as in upstream.
    """
    inner = model.model
    tower = inner.vision_tower(batch["tiles"].to(inner.vision_tower.dtype), output_hidden_states=True)
    selected, strategy = model.config.vision_feature_layer, model.config.vision_feature_select_strategy
    patches = tower.hidden_states[selected]
    if strategy == "default":
        patches = patches[:, 1:]  # without the class token
    projected = inner.multi_modal_projector(patches)
    features, _ = inner.pack_image_features(
        list(torch.split(projected, batch["tile_counts"].tolist())),
        batch["image_sizes"],
        vision_feature_select_strategy=strategy,
        image_newline=inner.image_newline,
    )
    counts = batch["image_tokens"].tolist()
    return [each[:count] for each, count in zip(features, counts, strict=True)]


def last_hidden_state(
    model: LlavaNextForConditionalGeneration,
    batch: TrainingBatch,
    supervised: torch.Tensor | None = None,
) -> torch.Tensor:
    """The language model's last hidden state, ``(samples, length, hidden)``; ``(1, …)`` of packed samples.

    For packed samples the model needs `use_packing`.

    Args:
        supervised: bool ``(1, length)``, for packed samples: the result is ``(positions, hidden)`` of these.
    """
    inner: Any = model.model
    ids = batch["input_ids"]
    features = image_features(model, batch) if len(batch["tile_counts"]) else []
    embeddings = inner.get_input_embeddings()(ids)
    if features:
        # Not by the argument `mm_encoder_outputs`: transformers 5.17 swallows it, and would train blind.
        shown = torch.cat(features).to(embeddings.device, embeddings.dtype)
        places = inner.get_placeholder_mask(ids, inputs_embeds=embeddings, image_features=shown)
        embeddings = embeddings.masked_scatter(places, shown)
    mask: dict[str, Any] = {"attention_mask": batch["attention_mask"]}
    if len(batch["sample_lengths"]):
        device = batch["input_ids"].device
        lengths = batch["sample_lengths"].tolist()
        mask = {
            "attention_mask": no_mask(device),
            "position_ids": torch.cat([torch.arange(length, device=device) for length in lengths])[None],
            "sample_lengths": tuple(lengths),
            "supervised": supervised,
        }
    return inner(inputs_embeds=embeddings, **mask, use_cache=False).last_hidden_state


def supervised_loss(
    model: LlavaNextForConditionalGeneration,
    batch: TrainingBatch,
    supervised_tokens: torch.Tensor | int | None = None,
) -> torch.Tensor:
    """Cross-entropy of the supervised tokens divided by ``supervised_tokens``, summed; a scalar.

    Logits are computed for supervised positions only. With a two-sentence answer these are about 3 % of the
    positions, since an image takes thousands; logits of the others over a vocabulary of 128,000 tokens would
    be most of a step's memory.

    Args:
        supervised_tokens: by default those of this batch. The trainer gives those of the whole effective
            batch, so that each token counts the same whatever micro-batch it is in; or a divisor for each
            token, ``(supervised tokens,)``.
    """
    # Before the language model, where the features of images are computed too: with sharded weights all ranks
    # must use the modules in the same order.
    idle = _idle_tower(model, batch) if dist.is_initialized() and not len(batch["tile_counts"]) else 0
    targets = batch["labels"][:, 1:]
    supervised = targets != IGNORE_INDEX
    if len(batch["sample_lengths"]):
        # The last position predicts nothing.
        hidden = last_hidden_state(model, batch, pad(supervised, (0, 1)))
    else:
        hidden = last_hidden_state(model, batch)[:, :-1][supervised]
    logits = model.lm_head(hidden).float()
    if supervised_tokens is None:
        supervised_tokens = supervised.sum()
    each = isinstance(supervised_tokens, torch.Tensor) and supervised_tokens.ndim == 1
    losses = cross_entropy(logits, targets[supervised], reduction="none" if each else "sum")
    total = (losses / supervised_tokens).sum() + idle
    if torch.is_grad_enabled() and not total.requires_grad:
        # Text alone where only the projector is trained: it has no part in the loss, and learns nothing.
        total = total + _idle_tower(model, batch)
    return total


def _idle_tower(model: LlavaNextForConditionalGeneration, batch: TrainingBatch) -> torch.Tensor:
    # Sharded ranks gather the tower's weights and reduce its gradients together. A rank whose samples have no
    # image must take part, or the others wait for it for ever: it encodes a blank tile and multiplies by 0.
    # The tile's device is taken from the ids, not from a weight of the tower: under ZeRO-3, touching a weight
    # gathers it, which would be out of turn.
    side = vision_sizes(model.config.vision_config).image_size
    blank = ImageBatch(
        tiles=torch.zeros((1, 3, side, side), device=batch["input_ids"].device),
        tile_counts=torch.tensor([1]),
        image_sizes=torch.tensor([[side, side]]),
        image_tokens=torch.tensor([1]),
    )
    (features,) = image_features(model, blank)
    return features.sum() * 0
