"""Collation: padding, widening of image tokens, attention mask."""

from __future__ import annotations

import torch

from ndino.formats.prompts import IGNORE_INDEX
from ndino.train.batches import Collator, widen
from ndino.train.dataset import TrainingSample
from tests.train.samples import collate, image, make_sample

SIZES = [(112, 112), (50, 30)]


def test_the_mask_comes_from_lengths_not_from_the_pad_id(built):
    model, processor = built
    # The field's trap: a pad id that also occurs as a real token ("!" is 0 in LLaMA 3) must stay data.
    exclamation = processor.tokenizer("!", add_special_tokens=False)["input_ids"][0]
    short, long = make_sample(processor, image(SIZES[0]), answer="!"), make_sample(processor, image(SIZES[0]))
    batch = Collator(model.config.image_token_id, exclamation)([short, long])
    ids, labels = widen(short, model.config.image_token_id)
    assert batch["attention_mask"][0].sum() == len(ids)
    assert exclamation in batch["labels"][0][: len(labels)].tolist()


def test_every_feature_has_an_id_and_none_a_label(built):
    model, processor = built
    sample = make_sample(processor, image((200, 100)))
    ids, labels = widen(sample, model.config.image_token_id)
    places = ids == model.config.image_token_id
    assert int(places.sum()) == sample["tiles"][0].tokens > 1
    assert set(labels[places].tolist()) == {IGNORE_INDEX}
    assert torch.equal(ids[~places], sample["input_ids"][sample["input_ids"] != model.config.image_token_id])


def test_samples_are_padded_on_the_right(built):
    _, processor = built
    samples = [make_sample(processor, image(SIZES[0]), answer=answer) for answer in ("sì", "sì " * 9)]
    batch = collate(built, *samples)
    lengths = batch["attention_mask"].sum(dim=1)
    assert lengths[0] < lengths[1] == batch["input_ids"].shape[1]
    rest = slice(int(lengths[0]), None)
    assert set(batch["input_ids"][0, rest].tolist()) == {processor.tokenizer.pad_token_id}
    assert set(batch["labels"][0, rest].tolist()) == {IGNORE_INDEX}
    assert int(batch["tile_counts"].sum()) == len(batch["tiles"])
    assert batch["image_sizes"].tolist() == [[112, 112], [112, 112]]


def test_an_image_that_truncation_cut_off_is_left_out(built):
    model, processor = built
    pair = make_sample(processor, image((200, 50)), image((60, 150)))
    second = (pair["input_ids"] == model.config.image_token_id).nonzero()[1].item()
    cut = TrainingSample(
        row=1, input_ids=pair["input_ids"][:second], labels=pair["labels"][:second], tiles=pair["tiles"]
    )
    assert collate(built, cut)["tile_counts"].tolist() == [1]


def test_a_batch_without_images_has_empty_tensors(built):
    text = TrainingSample(
        row=1, input_ids=torch.tensor([1, 2, 3]), labels=torch.tensor([-100, 2, 3]), tiles=[]
    )
    batch = collate(built, text)
    assert batch["tiles"].numel() == 0 and batch["tile_counts"].tolist() == []
    assert batch["image_sizes"].shape == (0, 2)


def test_a_batch_names_the_rows_of_the_data_file(built):
    _, processor = built
    first, second = (make_sample(processor, image((112, 112))) for _ in range(2))
    assert collate(built, first | {"row": 7}, second | {"row": 3})["rows"].tolist() == [7, 3]
