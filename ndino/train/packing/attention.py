"""Attention of packed samples: each of them sees only itself.

On every device it is PyTorch's scaled dot-product attention, once for each sample. No mask is made, which
for a row of 10,000 tokens would be 100 MB, and the kernel is the fast causal one: on GPUs that is
FlashAttention, without the package of that name. Only a sample that is longer than a layer's sliding window
has a mask, its own.
"""

from __future__ import annotations

import torch
from transformers.integrations.sdpa_attention import sdpa_attention_forward

NAME = "ndino_packed"


def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    sample_lengths: tuple[int, ...] | None = None,
    sliding_window: int | None = None,
    **options,
) -> tuple[torch.Tensor, None]:
    """transformers' attention function: ``(batch, heads, length, size)`` to ``(batch, length, heads, size)``.

    Args:
        sample_lengths: tokens of each sample of the only row, in order. Without it, this is the ordinary
            attention.
        sliding_window: how many tokens up to itself a token sees in this layer; without it, all.
    """
    if sample_lengths is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, sliding_window=sliding_window, **options
        )
    samples = zip(*(states.split(sample_lengths, dim=2) for states in (query, key, value)), strict=True)
    outputs = [
        sdpa_attention_forward(module, q, k, v, _window(q, sliding_window), **options)[0]
        for q, k, v in samples
    ]
    return torch.cat(outputs, dim=1), None


def _window(query: torch.Tensor, width: int | None) -> torch.Tensor | None:
    """Which keys a sample's queries see, bool ``(1, 1, length, length)``; None where it is causal alone."""
    length = query.shape[2]
    if width is None or length <= width:
        return None
    place = torch.arange(length, device=query.device)
    behind = place[:, None] - place
    return ((behind >= 0) & (behind < width))[None, None]


def no_mask(device: torch.device) -> torch.Tensor:
    """What to give a model as ``attention_mask`` of packed samples.

    From four dimensions transformers concludes that the mask is complete, and makes none. The attention
    ignores it.
    """
    return torch.ones((1, 1, 1, 1), dtype=torch.bool, device=device)
