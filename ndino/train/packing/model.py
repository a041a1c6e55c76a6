"""What a model needs to train packed samples: attention within samples, and a last layer that stops early."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import MethodType
from typing import Any

import torch
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
    DynamicCache,
    LlavaNextForConditionalGeneration,
)
from transformers.masking_utils import sdpa_mask

from ndino.formats.backbones.language import probe_ids, same_up_to_rounding
from ndino.train.packing.attention import NAME, no_mask, packed_attention
from ndino.train.stage import StageError

_REMEDY = "set packing: false in the recipe"


def use_packing(model: LlavaNextForConditionalGeneration) -> None:
    """Let the model's language model take ``sample_lengths`` and ``supervised``.

    Calls without them are as before. Saved configurations do not name the attention. Language models differ
    in what a layer does and in what it hands to its attention, and one that mixes samples would train without
    an error: so what two short samples give is compared before and after, packed.

    Raises:
        StageError: the language model does not take packed samples.
    """
    language_model: Any = model.model.language_model
    ids = probe_ids(model).to(language_model.device)
    samples = [ids[:, :3], ids[:, 3:]]
    alone = torch.cat([_hidden(model, sample) for sample in samples], dim=1)[0]
    AttentionInterface.register(NAME, packed_attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    language_model.set_attn_implementation(NAME)
    kind = type(language_model).__name__
    if not hasattr(language_model, "layers"):
        raise StageError(f"packing: {kind} has no layers that take packed samples (remedy: {_REMEDY})")
    last = language_model.layers[-1]
    for forward in (_stopping_early, _whole):
        last.forward = MethodType(forward, last)  # bound: a copy of the model has its own
        windows: list[int | None] = []
        try:
            with _noting_windows(windows):
                packed = _hidden(model, *samples)
        except (AttributeError, TypeError, RuntimeError, ValueError, IndexError):
            continue  # a layer of another structure
        if packed.shape == alone.shape and same_up_to_rounding(packed, alone):
            break
    else:
        raise StageError(f"packing: {kind} gives other results for samples in one row (remedy: {_REMEDY})")
    layers = DynamicCache(config=model.config.get_text_config()).layers
    if windows != [getattr(layer, "sliding_window", None) for layer in layers]:
        raise StageError(
            f"packing: {kind} has layers with a limited view, which packed samples would not have "
            f"(remedy: {_REMEDY})"
        )


def stops_early(model: LlavaNextForConditionalGeneration) -> bool:
    """Whether the last layer's MLP runs at supervised positions only, after `use_packing`."""
    layers = getattr(model.model.language_model, "layers", None)
    return layers is not None and getattr(layers[-1].forward, "__func__", None) is _stopping_early


def _hidden(model: LlavaNextForConditionalGeneration, *samples: torch.Tensor) -> torch.Tensor:
    """The last hidden state of one sample, ``(1, tokens, hidden)``; of packed ones ``(tokens, hidden)``."""
    language_model: Any = model.model.language_model
    packed: dict[str, Any] = {}
    if len(samples) > 1:
        device = samples[0].device
        lengths = tuple(sample.shape[1] for sample in samples)
        packed = {
            "attention_mask": no_mask(device),
            "position_ids": torch.cat([torch.arange(length, device=device) for length in lengths])[None],
            "sample_lengths": lengths,
            "supervised": torch.ones(1, sum(lengths), dtype=torch.bool, device=device),
        }
    training = language_model.training
    language_model.eval()
    with torch.no_grad():
        embeddings = language_model.get_input_embeddings()(torch.cat(samples, dim=1))
        hidden = language_model(inputs_embeds=embeddings, **packed, use_cache=False).last_hidden_state
    language_model.train(training)
    return hidden


@contextmanager
def _noting_windows(windows: list[int | None]) -> Iterator[None]:
    """Note for each call of the attention which window it got."""

    def noting(*arguments: Any, **options: Any) -> Any:
        windows.append(options.get("sliding_window"))
        return packed_attention(*arguments, **options)

    AttentionInterface.register(NAME, noting)
    try:
        yield
    finally:
        AttentionInterface.register(NAME, packed_attention)


def _stopping_early(
    layer: Any, hidden_states: torch.Tensor, *, supervised: torch.Tensor | None = None, **options: Any
) -> torch.Tensor:
    """A decoder layer like LLaMA's, whose MLP runs only where a token is predicted.

    Other positions serve as keys and values of this layer's attention, and nothing reads what comes behind
    it: with images of thousands of tokens, that is nearly all of them.

    Args:
        hidden_states: ``(1, length, hidden)``.
        supervised: bool ``(1, length)``, the positions to return; without it, all.

    Returns:
        ``(supervised positions, hidden)``, or ``(1, length, hidden)``.
    """
    if supervised is None:
        return type(layer).forward(layer, hidden_states, **options)
    attended, _ = layer.self_attn(hidden_states=layer.input_layernorm(hidden_states), **options)
    kept = (hidden_states + attended)[supervised]
    return kept + layer.mlp(layer.post_attention_layernorm(kept))


def _whole(
    layer: Any,
    hidden_states: torch.Tensor,
    *arguments: Any,
    supervised: torch.Tensor | None = None,
    **options: Any,
) -> torch.Tensor:
    """A decoder layer of another structure, run at all positions; else as `_stopping_early`."""
    found = type(layer).forward(layer, hidden_states, *arguments, **options)
    return found if supervised is None else found[supervised]
