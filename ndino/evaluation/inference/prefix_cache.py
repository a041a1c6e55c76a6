"""A shared prefix is read once; the suffixes behind it are packed into one row and use its KV cache.

Questions about one image, and answers to one question, repeat thousands of image tokens. Here their common
prefix goes through the model once. The suffixes are packed behind it in one row, and a mask hides each from
the others, so the prefix's cache is not copied for each. Every suffix token has the position that it would
have in its own text, so results equal those of whole texts, up to rounding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch.nn.functional import pad
from transformers import DynamicCache, LlavaNextForConditionalGeneration

SHARED, PADDING = -1, -2


class Places(NamedTuple):
    """Which text each token belongs to, and where it is in that text; both (rows, tokens), int64.

    Attributes:
        owner: number of the suffix; `SHARED` in a prefix, `PADDING` where there is no token.
        position: the token's position in its own text, from 0.
    """

    owner: torch.Tensor
    position: torch.Tensor


@dataclass(frozen=True)
class Prefix:
    """The prefixes of one or more rows, read by the model.

    Attributes:
        cache: grows in place as suffixes are read.
        places: of the prefix alone, (rows, width), padded on the left.
        lengths: (rows,), tokens of each prefix without padding.
    """

    cache: DynamicCache
    places: Places
    lengths: torch.Tensor

    @property
    def length(self) -> int:
        """Tokens of the prefix of a single row, image features counted."""
        (length,) = self.lengths.tolist()
        return length


@torch.inference_mode()
def encode_prefix(
    model: LlavaNextForConditionalGeneration, processor_inputs: Mapping[str, torch.Tensor]
) -> Prefix:
    """Read the prefixes of one or more rows.

    Args:
        model: on the device of the inputs; one that `prefix_sharing.py` allows.
        processor_inputs: ``input_ids`` (rows, width) with one image token for every feature; where there
            are images also ``pixel_values`` and ``image_sizes``; where rows differ in length also
            ``attention_mask``, with padding on the left.
    """
    ids = processor_inputs["input_ids"]
    mask = processor_inputs.get("attention_mask")
    if mask is None or bool(mask.all()):
        # Without a mask, attention takes its fast causal path.
        mask = None
        present = torch.ones_like(ids, dtype=torch.bool)
    else:
        present = mask.bool()
    positions = (present.long().cumsum(-1) - 1).clamp(min=0)
    cache = DynamicCache(config=model.config.get_text_config())
    images = {
        name: processor_inputs[name] for name in ("pixel_values", "image_sizes") if name in processor_inputs
    }
    model.model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=positions,
        past_key_values=cache,
        use_cache=True,
        **images,
    )
    owners = torch.full_like(ids, SHARED).masked_fill(~present, PADDING)
    return Prefix(cache, Places(owners, positions), present.sum(-1))


def stack(prefixes: Sequence[Prefix]) -> Prefix:
    """Stack prefixes into one with all rows, padded on the left.

    The parts are emptied layer by layer, so that memory never holds a layer twice.
    """
    if len(prefixes) == 1:
        return prefixes[0]
    width = max(prefix.places.owner.shape[1] for prefix in prefixes)
    cache = prefixes[0].cache
    for parts in zip(*(prefix.cache.layers for prefix in prefixes), strict=True):
        keys, values = (
            torch.cat([pad(getattr(part, name), (0, 0, width - part.get_seq_length(), 0)) for part in parts])
            for name in ("keys", "values")
        )
        for part in parts:
            part.keys = part.values = None
        parts[0].keys, parts[0].values = keys, values
    owners, positions = (
        torch.cat([pad(p.places[i], (width - p.places[i].shape[1], 0), value=fill) for p in prefixes])
        for i, fill in enumerate((PADDING, 0))
    )
    return Prefix(cache, Places(owners, positions), torch.cat([prefix.lengths for prefix in prefixes]))


def suffix_places(lengths: Sequence[Sequence[int]], starts: torch.Tensor) -> Places:
    """Places of packed suffixes, padded on the right.

    Args:
        lengths: for each row the lengths of its suffixes, in order.
        starts: (rows,), each row's number of prefix tokens, which is its suffixes' first position.
    """
    width = max(map(sum, lengths))
    owners = torch.full((len(lengths), width), PADDING)
    positions = torch.zeros_like(owners)
    for row, own in enumerate(lengths):
        counts = torch.tensor(own)
        owners[row, : sum(own)] = torch.arange(len(own)).repeat_interleave(counts)
        positions[row, : sum(own)] = torch.cat([torch.arange(count) for count in own])
    return Places(owners.to(starts.device), positions.to(starts.device) + starts[:, None])


def attention(queries: Places, keys: Places, dtype: torch.dtype) -> torch.Tensor:
    """The mask that lets a token attend to its prefix and to its own suffix up to itself, and nothing else.

    Returns:
        (rows, 1, queries, keys): 0 where a query attends to a key, the lowest number of ``dtype`` elsewhere.
    """
    own = queries.owner[:, :, None] == keys.owner[:, None, :]
    before = keys.position[:, None, :] <= queries.position[:, :, None]
    seen = (keys.owner == SHARED)[:, None, :] | own & before
    mask = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
    return mask.masked_fill_(~seen, torch.finfo(dtype).min)[:, None]


def packed_attention(
    prefix_length: int, suffix_lengths: Sequence[int], dtype: torch.dtype, device: torch.device | str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mask and positions of suffixes packed into one row behind an unpadded prefix.

    Returns:
        The additive mask (1, 1, suffix tokens, prefix and suffix tokens) and ``position_ids`` (1, suffix
        tokens), for a forward pass with the prefix's cache.
    """
    start = torch.tensor([prefix_length], device=device)
    suffixes = suffix_places([suffix_lengths], start)
    shared = torch.full((1, prefix_length), SHARED, device=device)
    keys = join(Places(shared, torch.arange(prefix_length, device=device)[None]), suffixes)
    return attention(suffixes, keys, dtype), suffixes.position


def join(first: Places, second: Places) -> Places:
    """Concatenate places along the tokens."""
    return Places(torch.cat([first.owner, second.owner], 1), torch.cat([first.position, second.position], 1))
