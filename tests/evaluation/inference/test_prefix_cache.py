"""Packed suffixes behind a shared prefix, against each text read alone."""

from __future__ import annotations

from itertools import chain

import pytest
import torch
from transformers import LlavaNextForConditionalGeneration

from ndino.evaluation.inference.prefix_cache import (
    PADDING,
    SHARED,
    Places,
    attention,
    encode_prefix,
    join,
    packed_attention,
    stack,
    suffix_places,
)

SUFFIXES = [[70, 71, 72], [70, 80], [90], [91, 92, 93, 94]]


@pytest.fixture(scope="module", params=["sdpa", "eager"])
def model(request, tiny_model_folder) -> LlavaNextForConditionalGeneration:
    return LlavaNextForConditionalGeneration.from_pretrained(
        tiny_model_folder, dtype=torch.float32, attn_implementation=request.param
    ).eval()


def prompts(model, rows: int) -> dict[str, torch.Tensor]:
    """Rows of one image each, of 24, 12, 24 … image tokens, with a text of growing length behind it."""
    torch.manual_seed(0)
    sizes = [(112, 112) if row % 2 == 0 else (56, 112) for row in range(rows)]
    with torch.no_grad():
        pixels = torch.randn(rows, 5, 3, 56, 56)
        features = model.get_image_features(pixels, torch.tensor(sizes), return_dict=True).pooler_output
    texts = [
        [60, *[model.config.image_token_id] * len(found), *range(100, 105 + row)]
        for row, found in enumerate(features)
    ]
    width = max(map(len, texts))
    ids = torch.tensor([[61] * (width - len(text)) + text for text in texts])
    mask = torch.tensor([[0] * (width - len(text)) + [1] * len(text) for text in texts])
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "pixel_values": pixels,
        "image_sizes": torch.tensor(sizes),
    }


def alone(model, inputs: dict[str, torch.Tensor], row: int, suffix: list[int]) -> torch.Tensor:
    """The last logits of a whole text, read without any of this module."""
    ids = inputs["input_ids"][row][inputs["attention_mask"][row].bool()].tolist() + suffix
    with torch.no_grad():
        return model(
            input_ids=torch.tensor([ids]),
            pixel_values=inputs["pixel_values"][row : row + 1],
            image_sizes=inputs["image_sizes"][row : row + 1],
        ).logits[0, -len(suffix) :]


def close(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    return torch.allclose(ours, theirs, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_one_row_of_suffixes_gives_the_logits_of_whole_texts(model):
    inputs = prompts(model, 1)
    prefix = encode_prefix(model, inputs)
    assert prefix.length == inputs["input_ids"].shape[1]
    mask, positions = packed_attention(prefix.length, [len(s) for s in SUFFIXES], torch.float32, "cpu")
    logits = model(
        input_ids=torch.tensor([[*chain(*SUFFIXES)]]),
        attention_mask=mask,
        position_ids=positions,
        past_key_values=prefix.cache,
    ).logits[0]
    for ours, suffix in zip(logits.split([len(s) for s in SUFFIXES]), SUFFIXES, strict=True):
        assert close(ours, alone(model, inputs, 0, suffix))


@torch.no_grad()
def test_rows_of_different_lengths_do_so_too(model):
    inputs = prompts(model, 3)
    prefix = encode_prefix(model, inputs)
    rows = [SUFFIXES, SUFFIXES[1:3], [[75, 76, 77, 78, 79]]]
    suffixes = suffix_places([[len(s) for s in row] for row in rows], prefix.lengths)
    ids = torch.full(suffixes.owner.shape, 62)
    for i, row in enumerate(rows):
        ids[i, : sum(map(len, row))] = torch.tensor([*chain(*row)])
    logits = model(
        input_ids=ids,
        attention_mask=attention(suffixes, join(prefix.places, suffixes), torch.float32),
        position_ids=suffixes.position,
        past_key_values=prefix.cache,
    ).logits
    assert logits.isfinite().all()
    for i, row in enumerate(rows):
        parts = logits[i, : sum(map(len, row))].split([len(s) for s in row])
        assert all(close(ours, alone(model, inputs, i, s)) for ours, s in zip(parts, row, strict=True))


@torch.no_grad()
def test_stacked_prefixes_are_those_read_together(model):
    inputs = prompts(model, 3)
    together = encode_prefix(model, inputs)
    alone = []
    for row in range(3):
        length = int(inputs["attention_mask"][row].sum())
        ids = inputs["input_ids"][row : row + 1, -length:]
        shown = {name: inputs[name][row : row + 1] for name in ("pixel_values", "image_sizes")}
        alone.append(encode_prefix(model, {"input_ids": ids, **shown}))
    stacked = stack(alone)
    present = together.places.owner == SHARED
    assert torch.equal(stacked.places.owner, together.places.owner)
    assert torch.equal(stacked.lengths, together.lengths)
    for ours, theirs in zip(stacked.cache.layers, together.cache.layers, strict=True):
        assert close(ours.keys.transpose(1, 2)[present], theirs.keys.transpose(1, 2)[present])
        assert close(ours.values.transpose(1, 2)[present], theirs.values.transpose(1, 2)[present])


def test_a_suffix_sees_its_prefix_and_itself():
    mask, positions = packed_attention(3, [2, 1, 2], torch.bfloat16, "cpu")
    assert mask.dtype == torch.bfloat16
    assert (mask[0, 0] == 0).int().tolist() == [
        [1, 1, 1, 1, 0, 0, 0, 0],
        [1, 1, 1, 1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0, 1, 0, 0],
        [1, 1, 1, 0, 0, 0, 1, 0],
        [1, 1, 1, 0, 0, 0, 1, 1],
    ]
    assert positions.tolist() == [[3, 4, 3, 3, 4]]


def test_padding_is_seen_by_no_token_and_sees_something():
    prefix = Places(torch.tensor([[PADDING, SHARED, SHARED]]), torch.tensor([[0, 0, 1]]))
    suffixes = suffix_places([[1, 1]], torch.tensor([2]))
    padded = join(suffixes, Places(torch.tensor([[PADDING]]), torch.tensor([[0]])))
    seen = attention(padded, join(prefix, padded), torch.float32)[0, 0] == 0
    assert not seen[:2, 0].any() and not seen[:2, 5].any()
    assert seen.any(-1).all()
