"""Collation: samples to a padded batch, each ``<image>`` repeated once for every feature of its image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import torch
from torch.nn.utils.rnn import pad_sequence

from ndino.formats.image_tokens import token_repeats
from ndino.formats.prompts import IGNORE_INDEX
from ndino.train.dataset import TrainingSample


class ImageBatch(TypedDict):
    """The images of a micro-batch. Without images, all tensors are empty.

    Attributes:
        tiles: float32 ``(tiles, 3, side, side)``, those of all images one after the other.
        tile_counts: int64 ``(images,)``, how many of ``tiles`` each image has.
        image_sizes: int64 ``(images, 2)``, the original (height, width) in pixels.
        image_tokens: int64 ``(images,)``, how many features of each image are used, the first ones.
    """

    tiles: torch.Tensor
    tile_counts: torch.Tensor
    image_sizes: torch.Tensor
    image_tokens: torch.Tensor


class TrainingBatch(ImageBatch):
    """One micro-batch: ``input_ids``, ``labels`` and ``attention_mask`` are int64 ``(samples, length)``.

    They are padded on the right. Packed samples are one row instead, ``(1, length)``, without padding.

    Attributes:
        rows: int64 ``(samples,)``, row numbers in the data file, for messages; the model does not get them.
        sample_lengths: int64 ``(samples,)``, tokens of each sample if they are packed, else empty.
    """

    rows: torch.Tensor
    sample_lengths: torch.Tensor
    input_ids: torch.Tensor
    labels: torch.Tensor
    attention_mask: torch.Tensor


def widen(sample: TrainingSample, image_token_id: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and labels, int64 ``(length,)``, with each ``<image>`` and its label repeated once a feature."""
    counts = (tiles.tokens for tiles in sample["tiles"])
    repeats = torch.tensor(token_repeats(sample["input_ids"].tolist(), image_token_id, counts))
    return sample["input_ids"].repeat_interleave(repeats), sample["labels"].repeat_interleave(repeats)


@dataclass(frozen=True)
class Collator:
    """Pads samples to the longest one, or packs them into one row.

    The attention mask is made from lengths, not by comparing ids with the pad id: upstream does the latter
    with pad id 0, LLaMA 3's "!", and so drops every "!" from training.
    """

    image_token_id: int
    pad_token_id: int
    packing: bool = False

    def __call__(self, samples: Sequence[TrainingSample]) -> TrainingBatch:
        ids, labels = zip(*(widen(sample, self.image_token_id) for sample in samples), strict=True)
        images = [
            tiles
            for sample in samples
            for tiles in sample["tiles"][: int((sample["input_ids"] == self.image_token_id).sum())]
        ]
        mask = [torch.ones_like(row) for row in ids]
        sample_lengths = [len(row) for row in ids] if self.packing else []
        if self.packing:
            # No token predicts a sample's first one; in one row, the sample before it would.
            labels = [torch.cat([row.new_full((1,), IGNORE_INDEX), row[1:]]) for row in labels]
            ids, labels, mask = ([torch.cat(list(rows))] for rows in (ids, labels, mask))
        return TrainingBatch(
            rows=torch.tensor([sample["row"] for sample in samples], dtype=torch.long),
            sample_lengths=torch.tensor(sample_lengths, dtype=torch.long),
            input_ids=pad_sequence(list(ids), batch_first=True, padding_value=self.pad_token_id),
            labels=pad_sequence(list(labels), batch_first=True, padding_value=IGNORE_INDEX),
            attention_mask=pad_sequence(mask, batch_first=True),
            tiles=torch.cat([image.pixels for image in images]) if images else torch.empty(0),
            tile_counts=torch.tensor([len(image.pixels) for image in images], dtype=torch.long),
            image_sizes=torch.tensor([image.size for image in images], dtype=torch.long).reshape(-1, 2),
            image_tokens=torch.tensor([image.tokens for image in images], dtype=torch.long),
        )
