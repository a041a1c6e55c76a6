"""The loss against transformers' own processor and forward pass."""

from __future__ import annotations

import pytest
import torch

from ndino.formats.prompts import IGNORE_INDEX, Turn, encode_llama3
from ndino.train.dataset import TrainingSample
from ndino.train.loss import image_features, patch_forward, supervised_loss
from tests.train.samples import collate, image, make_sample

SIZES = [(112, 112), (50, 30), (30, 200), (301, 97)]


@pytest.mark.parametrize("size", SIZES)
def test_ids_pixels_and_loss_equal_those_of_transformers(built, size):
    model, processor = built
    one = make_sample(processor, image(size))
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


def test_a_batch_has_the_summed_loss_of_its_samples(built):
    model, processor = built
    samples = [
        make_sample(processor, image(size), answer=answer)
        for size, answer in zip(SIZES, ("sì", "un cerchio rosso", "!", "no no"), strict=True)
    ]
    with torch.no_grad():
        parts = [(collate(built, one), int((one["labels"][1:] != IGNORE_INDEX).sum())) for one in samples]
        expected = sum(supervised_loss(model, batch, 1) for batch, _ in parts)
        together = supervised_loss(model, collate(built, *samples), 1)
        mean = supervised_loss(model, collate(built, *samples))
    assert together.item() == pytest.approx(expected.item(), rel=1e-5)
    assert mean.item() == pytest.approx(together.item() / sum(count for _, count in parts), rel=1e-5)


def test_several_images_are_one_tile_each(built):
    model, processor = built
    pair = make_sample(processor, image((200, 50)), image((60, 150)))
    batch = collate(built, pair)
    assert batch["tile_counts"].tolist() == [1, 1]
    # Two by two patches and one newline each.
    assert [len(features) for features in image_features(model, batch)] == [5, 5]
    loss = supervised_loss(model, batch)
    loss.backward()
    assert model.model.image_newline.grad.abs().sum() > 0
    model.zero_grad()
    single = collate(built, make_sample(processor, image((200, 50))))
    assert single["tile_counts"].tolist()[0] > 1


def test_a_text_only_sample_is_scored_too(built):
    model, processor = built
    encoded = encode_llama3(processor.tokenizer, [Turn("user", "Ciao"), Turn("assistant", "sì")], images=0)
    text = TrainingSample(
        row=1, input_ids=torch.tensor(encoded.input_ids), labels=torch.tensor(encoded.labels), tiles=[]
    )
    with torch.no_grad():
        alone = supervised_loss(model, collate(built, text), 1)
        beside = supervised_loss(model, collate(built, text, make_sample(processor, image(SIZES[0]))), 1)
        other = supervised_loss(model, collate(built, make_sample(processor, image(SIZES[0]))), 1)
    assert beside.item() == pytest.approx((alone + other).item(), rel=1e-5)


def test_the_patched_call_gives_the_loss_and_other_calls_stay(built):
    model, processor = built
    batch = collate(built, make_sample(processor, image(SIZES[0])))
    plain_forward = model.forward
    with torch.no_grad():
        before = model(input_ids=batch["input_ids"][:, :3]).logits
        patch_forward(model)
        try:
            loss = model(**batch, supervised_tokens=2)
            after = model(input_ids=batch["input_ids"][:, :3]).logits
        finally:
            model.forward = plain_forward
        assert loss.item() == pytest.approx(supervised_loss(model, batch, 2).item())
    assert torch.equal(before, after)
