"""Greedy decoding of many prompts at once, with each shared prefix read once.

A row is a group of prompts that share a prefix, such as questions about the same images. Rows form a batch,
padded on the left. The suffixes of a row's prompts are packed behind its prefix (see `prefix_cache.py`), and
so are the tokens that they grow by. Every prompt gets the tokens that ``generate`` gives it alone, up to
rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import LlavaNextForConditionalGeneration

from ndino.evaluation.inference.prefix_cache import (
    PADDING,
    Places,
    Prefix,
    attention,
    encode_prefix,
    join,
    stack,
)
from ndino.evaluation.inference.prefix_sharing import Ids, common_length

# Prefix tokens that go through the model at once. More of them do not use a GPU better, and on a CPU the
# activations between layers would no longer fit its caches.
READ_AT_ONCE = 1024


def decode(
    model: LlavaNextForConditionalGeneration,
    rows: Sequence[Sequence[Ids]],
    images: Sequence[Mapping[str, torch.Tensor]],
    *,
    stop_ids: Sequence[int],
    max_new_tokens: int,
    stops: Callable[[list[int]], bool] = lambda ids: False,
) -> list[list[list[int]]]:
    """Continue every prompt with its likeliest tokens.

    Args:
        model: one that can share prefixes, see `prefix_sharing.py`.
        rows: groups of prompts, with one image token for every feature. The `common_length` of a group must
            include its images.
        images: for each row its ``pixel_values`` (images, tiles, 3, side, side) and ``image_sizes``
            (images, 2), or an empty mapping for a row without images.
        stop_ids: an answer ends with the first of these, which is its last token.
        max_new_tokens: it also ends at this number of tokens,
        stops: and when this returns True for its tokens so far.

    Returns:
        The new tokens of each prompt, in the order of ``rows``.
    """
    filler = stop_ids[0]
    commons = [common_length(prompts) for prompts in rows]
    prefix = read_prefixes(model, [prompts[0] for prompts in rows], commons, images, filler)
    growth = _Growth(model, prefix, filler)
    likeliest = growth.read([[p[n:] for p in prompts] for prompts, n in zip(rows, commons, strict=True)])
    answers: list[list[list[int]]] = [[[] for _ in prompts] for prompts in rows]
    ends = set(stop_ids)
    while True:
        live: list[list[list[int]]] = [[[] for _ in prompts] for prompts in rows]
        for (row, number), token in likeliest.items():
            answer = answers[row][number]
            answer.append(token)
            if token not in ends and len(answer) < max_new_tokens and not stops(answer):
                live[row][number] = [token]
        if not any(chain.from_iterable(live)):
            return answers
        likeliest = growth.read(live)


def read_prefixes(
    model: LlavaNextForConditionalGeneration,
    prompts: Sequence[Ids],
    lengths: Sequence[int],
    images: Sequence[Mapping[str, torch.Tensor]],
    filler: int,
) -> Prefix:
    """Read the first tokens of each row's prompt, as many as ``lengths`` says, with its images."""
    beginnings = [prompt[:length] for prompt, length in zip(prompts, lengths, strict=True)]
    at_once = max(1, READ_AT_ONCE // max(lengths))
    parts = (slice(start, start + at_once) for start in range(0, len(prompts), at_once))
    inputs = (padded_inputs(beginnings[part], images[part], filler) for part in parts)
    return stack([encode_prefix(model, on_model(part, model)) for part in inputs])


def padded_inputs(
    rows: Sequence[Ids], images: Sequence[Mapping[str, torch.Tensor]], filler: int
) -> dict[str, torch.Tensor]:
    """A model's inputs for rows of tokens and their images (as in `decode`), padded on the left.

    Returns ``input_ids`` and ``attention_mask`` (rows, width), int64, and where there are images
    ``pixel_values`` (images, tiles, 3, side, side) and ``image_sizes`` (images, 2).
    """
    width = max(map(len, rows))
    ids = torch.full((len(rows), width), filler)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, width - len(row) :] = torch.tensor(row)
        mask[i, width - len(row) :] = 1
    inputs = {"input_ids": ids, "attention_mask": mask}
    if shown := [found for found in images if found]:
        # Images differ in their number of tiles. The model derives from image_sizes how many are real.
        tiles = [tiles for found in shown for tiles in found["pixel_values"]]
        inputs["pixel_values"] = pad_sequence(tiles, batch_first=True)
        inputs["image_sizes"] = torch.cat([found["image_sizes"] for found in shown])
    return inputs


def on_model(
    inputs: Mapping[str, torch.Tensor], model: LlavaNextForConditionalGeneration
) -> dict[str, torch.Tensor]:
    """Inputs on the model's device, with pixels in its dtype."""
    return {
        name: value.to(model.device, model.dtype if value.is_floating_point() else None)
        for name, value in inputs.items()
    }


class _Growth:
    """Suffixes that grow behind their prefixes as tokens are decoded."""

    def __init__(self, model: LlavaNextForConditionalGeneration, prefix: Prefix, filler: int) -> None:
        self.model, self.prefix, self.filler = model, prefix, filler
        self.keys = prefix.places
        self.lengths: dict[tuple[int, int], int] = {}

    @torch.inference_mode()
    def read(self, parts: Sequence[Sequence[Ids]]) -> dict[tuple[int, int], int]:
        """Read the next tokens of suffixes.

        ``parts`` holds them by row and number of the suffix; an empty part is skipped. Returns the likeliest
        next token after each part, by (row, number).
        """
        device = self.keys.owner.device
        width = max(sum(map(len, row)) for row in parts)
        ids = torch.full((len(parts), width), self.filler)
        owners = torch.full_like(ids, PADDING)
        positions = torch.zeros_like(ids)
        ends: dict[tuple[int, int], int] = {}
        for i, row in enumerate(parts):
            start = 0
            for number, part in enumerate(row):
                if not part:
                    continue
                before, end = self.lengths.get((i, number), 0), start + len(part)
                ids[i, start:end] = torch.tensor(part)
                owners[i, start:end] = number
                positions[i, start:end] = torch.arange(before, before + len(part))
                self.lengths[i, number] = before + len(part)
                ends[i, number] = end - 1
                start = end
        queries = Places(owners.to(device), positions.to(device) + self.prefix.lengths[:, None])
        self.keys = join(self.keys, queries)
        hidden = self.model.model(
            input_ids=ids.to(device),
            attention_mask=attention(queries, self.keys, self.model.dtype),
            position_ids=queries.position,
            past_key_values=self.prefix.cache,
            use_cache=True,
        ).last_hidden_state
        # The vocabulary is large, so logits are computed for the last token of each part only.
        where = torch.tensor([(row, end) for (row, _), end in ends.items()], device=device)
        chosen = self.model.lm_head(hidden[where[:, 0], where[:, 1]]).float().argmax(-1)
        return dict(zip(ends, chosen.tolist(), strict=True))
