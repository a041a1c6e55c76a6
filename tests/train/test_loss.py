"""Batches and loss against transformers' own processor and forward pass."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ndino.formats.prompts import IGNORE_INDEX, Turn, encode_llama3
from ndino.train.batches import Collator, widen
from ndino.train.build import build_model
from ndino.train.dataset import TrainingSample
from ndino.train.images import tile_anyres, tile_square
from ndino.train.loss import image_features, supervised_loss

SIZES = [(112, 112), (50, 30), (30, 200), (301, 97)]


@pytest.fixture(scope="module")
def built(backbones, recipe):
    model, processor = build_model(backbones.language_model, backbones.vision_tower, recipe)
    return model.eval(), processor


def image(size: tuple[int, int]) -> Image.Image:
    return Image.linear_gradient("L").resize(size).convert("RGB")


def sample(processor, *images: Image.Image, answer: str = "un cerchio rosso") -> TrainingSample:
    question = "<image>\n" * len(images) + "Che cosa vedi?"
    turns = [Turn("user", question), Turn("assistant", answer)]
    encoded = encode_llama3(processor.tokenizer, turns, images=len(images))
    tile = tile_anyres if len(images) == 1 else tile_square
    return TrainingSample(
        input_ids=torch.tensor(encoded.input_ids),
        labels=torch.tensor(encoded.labels),
        tiles=[tile(each, processor) for each in images],
    )


def collate(built, *samples: TrainingSample):
    model, processor = built
    return Collator(model.config.image_token_id, processor.tokenizer.pad_token_id)(samples)


@pytest.mark.parametrize("size", SIZES)
def test_ids_pixels_and_loss_equal_transformers_own(built, size):
    model, processor = built
    one = sample(processor, image(size))
    batch = collate(built, one)
    text = processor.tokenizer.decode(one["input_ids"])
    theirs = processor(images=image(size), text=text, return_tensors="pt")
    assert torch.equal(batch["input_ids"], theirs["input_ids"])
    assert torch.equal(batch["tiles"], theirs["pixel_values"][0])
    assert batch["image_sizes"].tolist() == theirs["image_sizes"].tolist()
    with torch.no_grad():
        ours = supervised_loss(model, batch)
        reference = model(**theirs, labels=batch["labels"]).loss
    assert ours.item() == pytest.approx(reference.item(), rel=1e-5)


def test_a_batch_scores_as_its_samples_do(built):
    model, processor = built
    samples = [
        sample(processor, image(size), answer=answer)
        for size, answer in zip(SIZES, ("sì", "un cerchio rosso", "!", "no no"), strict=True)
    ]
    with torch.no_grad():
        parts = [(collate(built, one), int((one["labels"][1:] != IGNORE_INDEX).sum())) for one in samples]
        expected = sum(supervised_loss(model, batch, 1) for batch, _ in parts)
        together = supervised_loss(model, collate(built, *samples), 1)
        mean = supervised_loss(model, collate(built, *samples))
    assert together.item() == pytest.approx(expected.item(), rel=1e-5)
    assert mean.item() == pytest.approx(together.item() / sum(count for _, count in parts), rel=1e-5)


def test_the_mask_comes_from_lengths_not_from_the_pad_id(built):
    model, processor = built
    # The field's trap: a pad id that also occurs as a real token ("!" is 0 in LLaMA 3) must stay data.
    exclamation = processor.tokenizer("!", add_special_tokens=False)["input_ids"][0]
    short, long = sample(processor, image(SIZES[0]), answer="!"), sample(processor, image(SIZES[0]))
    batch = Collator(model.config.image_token_id, exclamation)([short, long])
    ids, labels = widen(short, model.config.image_token_id)
    assert batch["attention_mask"][0].sum() == len(ids)
    assert exclamation in batch["labels"][0][: len(labels)].tolist()


def test_several_images_are_one_tile_each(built):
    model, processor = built
    pair = sample(processor, image((200, 50)), image((60, 150)))
    batch = collate(built, pair)
    assert batch["tile_counts"].tolist() == [1, 1]
    # Two by two patches and a newline each.
    assert [len(features) for features in image_features(model, batch)] == [5, 5]
    loss = supervised_loss(model, batch)
    loss.backward()
    assert model.model.image_newline.grad.abs().sum() > 0
    model.zero_grad()
    single = collate(built, sample(processor, image((200, 50))))
    assert single["tile_counts"].tolist()[0] > 1


def test_square_padding_keeps_the_whole_image(built):
    _, processor = built
    wide = Image.new("RGB", (200, 100), (255, 0, 0))
    pixels = tile_square(wide, processor).pixels[0]
    mean = torch.tensor(processor.image_processor.image_mean)
    middle, top = pixels[:, 28, 28], pixels[:, 2, 28]
    assert middle[0] > middle[1]
    # The padding is the processor's mean colour, which is 0 after normalising.
    assert top.abs().max() < 0.02 and mean.shape == (3,)


@settings(max_examples=40, deadline=None)
@given(width=st.integers(8, 700), height=st.integers(8, 700))
def test_every_size_gets_as_many_tokens_as_features(built, width, height):
    model, processor = built
    batch = collate(built, sample(processor, image((width, height))))
    with torch.no_grad():
        (features,) = image_features(model, batch)
    assert (batch["input_ids"] == model.config.image_token_id).sum() == len(features)


def test_a_sample_of_text_alone_trains_too(built):
    model, processor = built
    encoded = encode_llama3(processor.tokenizer, [Turn("user", "Ciao"), Turn("assistant", "sì")], images=0)
    text = TrainingSample(
        input_ids=torch.tensor(encoded.input_ids), labels=torch.tensor(encoded.labels), tiles=[]
    )
    with torch.no_grad():
        alone = supervised_loss(model, collate(built, text), 1)
        beside = supervised_loss(model, collate(built, text, sample(processor, image(SIZES[0]))), 1)
        other = supervised_loss(model, collate(built, sample(processor, image(SIZES[0]))), 1)
    assert beside.item() == pytest.approx((alone + other).item(), rel=1e-5)
