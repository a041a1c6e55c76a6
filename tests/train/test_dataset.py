"""Rows of LLaVA JSON as training samples, and what is rejected."""

from __future__ import annotations

import dataclasses
import json
import shutil

import pytest
import torch

from ndino.formats.llava_json import Conversation, ConversationError
from ndino.formats.prompts import IGNORE_INDEX, PromptError, Turn
from ndino.train.dataset import ConversationDataset, encode, usable_rows
from ndino.train.images import ImageError
from tests.train.conftest import ROWS

ROUND = (Turn("user", "<image>\nChe cosa vedi?"), Turn("assistant", "un cerchio"))


def test_the_recipe_decides_on_the_prompt(built, recipe):
    tokenizer = built[1].tokenizer
    conversation = Conversation("1", ("a.png",), ROUND, 1)
    spoken = encode(conversation, tokenizer, recipe)
    assert "<|start_header_id|>user" in tokenizer.decode(spoken.input_ids)
    plain = encode(conversation, tokenizer, dataclasses.replace(recipe, prompt="plain"))
    assert tokenizer.decode(plain.input_ids) == "<|begin_of_text|><image>un cerchio<|end_of_text|>"
    answers = dataclasses.replace(recipe, supervision="answer")
    labels = [label for label in encode(conversation, tokenizer, answers).labels if label != IGNORE_INDEX]
    assert tokenizer.decode(labels) == "un cerchio<|eot_id|>"


def test_plain_takes_a_single_round_and_length_is_limited(built, recipe):
    tokenizer = built[1].tokenizer
    plain = dataclasses.replace(recipe, prompt="plain")
    with pytest.raises(PromptError, match="several rounds"):
        encode(Conversation("1", ("a.png",), ROUND * 2, 1), tokenizer, plain)
    conversation = Conversation("1", ("a.png",), ROUND, 1)
    assert len(encode(conversation, tokenizer, dataclasses.replace(plain, max_length=3)).input_ids) == 3
    with pytest.raises(PromptError, match="truncation to 2 tokens"):
        encode(conversation, tokenizer, dataclasses.replace(plain, max_length=2))


def test_samples_are_tensors_with_the_tiles_of_their_images(built, rows, recipe):
    dataset = ConversationDataset(rows / "rows.jsonl", rows / "images", built[1], recipe)
    assert (len(dataset), dataset.rejects) == (ROWS, [])
    sample = dataset[1]
    assert sample["input_ids"].dtype == sample["labels"].dtype == torch.int64
    assert sample["input_ids"].shape == sample["labels"].shape
    assert [tiles.size for tiles in sample["tiles"]] == [(100, 200)]


def test_rejects_name_file_row_and_reason(built, rows, recipe, tmp_path):
    record = json.loads((rows / "rows.jsonl").read_text().splitlines()[0])
    talk = record["conversations"]
    bad = [
        record | {"image": "nowhere.png"},
        record,
        record | {"conversations": [talk[0], talk[1] | {"value": "<|eot_id|>"}]},
    ]
    data = tmp_path / "bad.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in bad))
    rejects: list[str] = []
    kept = list(usable_rows(data, rows / "images", built[1].tokenizer, recipe, rejects))
    assert [conversation.row for conversation, _ in kept] == [2]
    assert sorted(line.partition(": ")[0] for line in rejects) == [f"{data} row 1", f"{data} row 3"]
    assert any("marker <|eot_id|>" in line for line in rejects)


def test_a_file_that_is_not_a_list_of_rows_is_an_error(built, rows, recipe, tmp_path):
    (tmp_path / "data.json").write_text("{}")
    with pytest.raises(ConversationError, match="expected a list of rows"):
        ConversationDataset(tmp_path / "data.json", rows / "images", built[1], recipe)


def test_an_image_cut_off_after_its_header_gives_way_to_the_next_row(built, rows, recipe, tmp_path, caplog):
    images = tmp_path / "images"
    shutil.copytree(rows / "images", images)
    content = (images / "3.png").read_bytes()
    (images / "3.png").write_bytes(content[: len(content) // 2])
    dataset = ConversationDataset(rows / "rows.jsonl", images, built[1], recipe)
    assert torch.equal(dataset[3]["input_ids"], dataset[4]["input_ids"])
    assert "row 4: " in caplog.text and "3.png" in caplog.text
    for path in images.iterdir():
        path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(ImageError, match="no row has a readable image"):
        dataset[0]
