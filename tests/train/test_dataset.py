"""Rows of the index as training samples, and images that turn out to be damaged when they are read."""

from __future__ import annotations

import dataclasses
import json
import shutil

import pytest
import torch
from PIL import Image

from ndino.train.dataset import ConversationDataset
from ndino.train.images import ImageError, tile_square
from ndino.train.rows.building import make_index
from ndino.train.rows.index import open_index
from tests.train.conftest import ROWS


@pytest.fixture
def load(built, recipe, tmp_path):
    """``load(data, images, field=value)`` is the dataset of a data file."""

    def load(data, images, **fields) -> ConversationDataset:
        changed = dataclasses.replace(recipe, **fields)
        folder = make_index(data, images, built[1], changed, beside=tmp_path / "run")
        return ConversationDataset(open_index(folder), images, built[1])

    return load


def test_samples_are_tensors_with_the_tiles_of_their_images(load, rows):
    dataset = load(rows / "rows.jsonl", rows / "images")
    assert len(dataset) == len(dataset.lengths) == ROWS
    sample = dataset[1]
    assert sample["input_ids"].dtype == sample["labels"].dtype == torch.int64
    assert sample["input_ids"].shape == sample["labels"].shape
    assert [tiles.size for tiles in sample["tiles"]] == [(100, 200)]


def test_an_image_behind_the_length_limit_is_not_read_and_the_others_stay_square(load, built, rows, tmp_path):
    talk = [("human", "<image>\nChi?"), ("gpt", "Uno."), ("human", "<image>\nE qui?"), ("gpt", "Due.")]
    conversations = [{"from": speaker, "value": text} for speaker, text in talk]
    data = tmp_path / "two.json"
    data.write_text(json.dumps([{"id": 1, "image": ["0.png", "1.png"], "conversations": conversations}]))
    whole = load(data, rows / "images")
    image = built[1].tokenizer.convert_tokens_to_ids("<image>")
    second = (whole[0]["input_ids"] == image).nonzero()[1].item() + 4
    cut = load(data, rows / "images", max_length=second + 2)[0]
    assert [tiles.tokens for tiles in cut["tiles"]] == [5, 2]
    (tiles,) = load(data, rows / "images", max_length=second)[0]["tiles"]
    with Image.open(rows / "images" / "0.png") as first:
        assert torch.equal(tiles.pixels, tile_square(first.convert("RGB"), built[1]).pixels)


def test_an_image_cut_off_after_its_header_gives_way_to_the_next_row(load, rows, tmp_path, caplog):
    images = tmp_path / "images"
    shutil.copytree(rows / "images", images)
    content = (images / "3.png").read_bytes()
    (images / "3.png").write_bytes(content[: len(content) // 2])
    dataset = load(rows / "rows.jsonl", images)
    for _ in range(2):
        assert torch.equal(dataset[3]["input_ids"], dataset[4]["input_ids"])
    assert dataset.damaged.nonzero().flatten().tolist() == [3]
    assert caplog.text.count("row 4: ") == 1 and "3.png" in caplog.text, "it is read and reported once"
    # Gone, or of another size, since it was indexed.
    (images / "5.png").unlink()
    Image.new("RGB", (40, 30)).save(images / "7.png")
    assert torch.equal(dataset[5]["input_ids"], dataset[6]["input_ids"])
    assert torch.equal(dataset[7]["input_ids"], dataset[8]["input_ids"])
    assert "has 40 x 30 pixels, and had 200 x 100 when" in caplog.text
    for path in images.iterdir():
        path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(ImageError, match="no row has a readable image"):
        dataset[0]


def test_a_worker_s_finding_reaches_the_process_that_trains(load, rows, tmp_path):
    images = tmp_path / "images"
    shutil.copytree(rows / "images", images)
    dataset = load(rows / "rows.jsonl", images)
    (images / "2.png").unlink()
    loader = torch.utils.data.DataLoader(dataset, batch_size=None, num_workers=1)
    assert len(list(loader)) == ROWS
    assert dataset.damaged.nonzero().flatten().tolist() == [2]
