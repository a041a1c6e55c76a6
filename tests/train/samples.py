"""Training samples of drawn images, encoded by the parts under test."""

from __future__ import annotations

import torch
from PIL import Image

from ndino.formats.prompts import Turn, encode_llama3
from ndino.train.batches import Collator, TrainingBatch
from ndino.train.dataset import TrainingSample
from ndino.train.images import tile_anyres, tile_square


def image(size: tuple[int, int]) -> Image.Image:
    """A gradient of ``size`` (width, height)."""
    return Image.linear_gradient("L").resize(size).convert("RGB")


def make_sample(processor, *images: Image.Image, answer: str = "un cerchio rosso") -> TrainingSample:
    """A question about the images, and its answer."""
    question = "<image>\n" * len(images) + "Che cosa vedi?"
    turns = [Turn("user", question), Turn("assistant", answer)]
    encoded = encode_llama3(processor.tokenizer, turns, images=len(images))
    tile = tile_anyres if len(images) == 1 else tile_square
    return TrainingSample(
        row=1,
        input_ids=torch.tensor(encoded.input_ids),
        labels=torch.tensor(encoded.labels),
        tiles=[tile(each, processor) for each in images],
    )


def collate(built, *samples: TrainingSample) -> TrainingBatch:
    """``built`` is a model with its processor."""
    model, processor = built
    return Collator(model.config.image_token_id, processor.tokenizer.pad_token_id)(samples)
