"""``prompt: chat``: what a stage trains, and what the published processor makes of the same conversation."""

from __future__ import annotations

import dataclasses
import itertools
import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import LlavaNextProcessor

from fixtures.chat_templates import LLAMA3
from ndino.formats.prompts import IMAGE_TOKEN
from ndino.train.batches import Collator
from ndino.train.dataset import ConversationDataset
from ndino.train.engine import run_stage
from ndino.train.rows.building import make_index
from ndino.train.rows.index import open_index

IMAGE = {"type": "image"}
SIZES = [(112, 112), (200, 100), (60, 150)]


@pytest.fixture(scope="module")
def language_model(backbones, tmp_path_factory) -> Path:
    """The tiny LLaMA with a chat template of its own, which writes no header for a system prompt."""
    folder = tmp_path_factory.mktemp("chat") / "language-model"
    shutil.copytree(backbones.language_model, folder)
    (folder / "chat_template.jinja").write_text(LLAMA3)
    return folder


@pytest.fixture(scope="module")
def chat(recipe):
    return dataclasses.replace(recipe, prompt="chat", system="Sei un modello.", max_steps=3, save_steps=3)


@pytest.fixture(scope="module")
def two_images(rows, tmp_path_factory) -> Path:
    """rows.jsonl: no image, one and two, in every place among the texts."""
    folder = tmp_path_factory.mktemp("two")
    (folder / "images").symlink_to(rows / "images")
    records = []
    for texts in itertools.product(["", "Prima ", " \n e poi"], repeat=3):
        for count in range(3):
            value = IMAGE_TOKEN.join(texts[: count + 1])
            if not value.strip():
                continue
            names = [f"{(len(records) + place) % 12}.png" for place in range(count)]
            said = [{"from": "human", "value": value}, {"from": "gpt", "value": " un cerchio. "}]
            records.append(
                {"id": str(len(records)), "conversations": said, **({"image": names} if names else {})}
            )
    (folder / "rows.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder


@pytest.fixture(scope="module")
def trained(language_model, backbones, chat, two_images, tmp_path_factory):
    """A finished stage, on rows with several images."""
    from ndino.train.stage import Stage

    stage = Stage(
        recipe=chat,
        data=two_images / "rows.jsonl",
        image_folder=two_images / "images",
        out=tmp_path_factory.mktemp("run") / "run",
        language_model=language_model,
        vision_tower=backbones.vision_tower,
    )
    run_stage(stage)
    return stage


def test_processor_and_training_have_the_same_ids_and_tiles_of_no_image_one_and_two(trained, two_images):
    processor = LlavaNextProcessor.from_pretrained(trained.out / "model")
    index = open_index(
        make_index(trained.data, trained.image_folder, processor, trained.recipe, beside=trained.out)
    )
    dataset = ConversationDataset(index, trained.image_folder, processor, divide_all=True)
    image_id = processor.tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
    collate = Collator(image_id, processor.tokenizer.pad_token_id)
    records = [json.loads(line) for line in trained.data.read_text().splitlines()]
    assert len(index) == len(records)
    seen = set()
    for place, record in enumerate(records):
        batch = collate([dataset[place]])
        paths = iter(trained.image_folder / name for name in record.get("image", []))
        question, answer = (message["value"] for message in record["conversations"])
        content = []
        for number, piece in enumerate(question.split(IMAGE_TOKEN)):
            content += [{**IMAGE, "path": str(next(paths))}] if number else []
            content += [{"type": "text", "text": piece}] if piece else []
        messages = [
            {"role": "user", "content": content},
            {"role": "assistant", "content": [{"type": "text", "text": answer}]},
        ]
        options = {"tokenize": True, "return_dict": True, "return_tensors": "pt"}
        whole = processor.apply_chat_template(messages, **options)
        assert whole["input_ids"].tolist() == batch["input_ids"].tolist(), question
        asked = processor.apply_chat_template(messages[:1], add_generation_prompt=True, **options)
        begun = asked["input_ids"].shape[1]
        assert asked["input_ids"].tolist() == batch["input_ids"][:, :begun].tolist(), question
        assert (batch["labels"][:, :begun] == -100).all() and (batch["labels"][:, begun:] != -100).any()
        seen.add(len(record.get("image", [])))
        if "pixel_values" in whole:
            # The processor pads images with fewer tiles.
            shown = zip(whole["pixel_values"], batch["tile_counts"].tolist(), strict=True)
            tiles = torch.cat([pixels[:count] for pixels, count in shown])
            assert torch.equal(tiles, batch["tiles"])
            assert torch.equal(whole["image_sizes"], batch["image_sizes"])
    assert seen == {0, 1, 2}
