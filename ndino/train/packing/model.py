"""What a model needs to train packed samples: attention within samples, and a last layer that stops early."""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface, LlavaNextForConditionalGeneration
from transformers.masking_utils import sdpa_mask
from transformers.models.llama.modeling_llama import LlamaDecoderLayer

from ndino.train.packing.attention import NAME, packed_attention


def use_packing(model: LlavaNextForConditionalGeneration) -> None:
    """Let the model's language model take ``sample_lengths`` and ``supervised``.

    Calls without them are as before. Saved configurations do not name the attention.
    """
    AttentionInterface.register(NAME, packed_attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    language_model = model.model.language_model
    language_model.set_attn_implementation(NAME)
    last = _last_layer(model)
    last.forward = MethodType(_forward_of_last_layer, last)  # bound: a copy of the model has its own


def uses_packing(model: LlavaNextForConditionalGeneration) -> bool:
    """Whether `use_packing` was called for this model."""
    return getattr(_last_layer(model).forward, "__func__", None) is _forward_of_last_layer


def _last_layer(model: LlavaNextForConditionalGeneration) -> Any:
    return model.model.language_model.layers[-1]


def _forward_of_last_layer(
    layer: Any, hidden_states: torch.Tensor, *, supervised: torch.Tensor | None = None, **options: Any
) -> torch.Tensor:
    """The decoder layer, whose MLP runs only where a token is predicted.

    Other positions serve as keys and values of this layer's attention, and nothing reads what comes behind
    it: with images of thousands of tokens, that is nearly all of them.

    Args:
        hidden_states: ``(1, length, hidden)``.
        supervised: bool ``(1, length)``, the positions to return; without it, all.

    Returns:
        ``(supervised positions, hidden)``, or ``(1, length, hidden)``.
    """
    if supervised is None:
        return LlamaDecoderLayer.forward(layer, hidden_states, **options)
    attended, _ = layer.self_attn(hidden_states=layer.input_layernorm(hidden_states), **options)
    kept = (hidden_states + attended)[supervised]
    return kept + layer.mlp(layer.post_attention_layernorm(kept))
