"""``prompt: chat``: what a stage trains, and what the published processor makes of the same conversation."""

from __future__ import annotations

import dataclasses
import io
import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import GenerationConfig, LlavaNextProcessor

from fixtures.chat_templates import QWEN3, chatml_tokenizer
from ndino.evaluation.inference.prompting import chat_template, prompt_ids
from ndino.evaluation.models import Model
from ndino.evaluation.perplexity.answer_sets import AnswerItem
from ndino.evaluation.perplexity.loading import load_scorer
from ndino.formats.chat.prompt import ChatPrompt
from ndino.formats.chat.published import is_published
from ndino.formats.llava_json import Conversation
from ndino.formats.model_kinds import ModelFolderError
from ndino.formats.prompts import IMAGE_TOKEN, Turn
from ndino.train.batches import Collator
from ndino.train.build import build_model, load_model
from ndino.train.dataset import ConversationDataset
from ndino.train.engine import run_stage
from ndino.train.loss import supervised_loss
from ndino.train.rows.building import index_key, make_index
from ndino.train.rows.context import indexes_at_hand
from ndino.train.rows.cut import cut_rows
from ndino.train.rows.encoding import encode
from ndino.train.rows.index import RowIndex, open_index
from ndino.train.stage import Stage
from tests.train.samples import image

IMAGE = {"type": "image"}
SIZES = [(112, 112), (200, 100), (60, 150)]


@pytest.fixture(scope="module")
def language_model(backbones, tmp_path_factory) -> Path:
    """The tiny LLaMA with a tokenizer and a chat template as Qwen3's."""
    folder = tmp_path_factory.mktemp("chat") / "language-model"
    shutil.copytree(backbones.language_model, folder)
    chatml_tokenizer(QWEN3).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def chat(recipe):
    return dataclasses.replace(
        recipe, prompt="chat", system="Sei un modello.", max_steps=3, save_steps=3, eval_rows=4
    )


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


def rows_of(stage: Stage, processor, **changes) -> RowIndex:
    recipe = dataclasses.replace(stage.recipe, **changes)
    return open_index(make_index(stage.data, stage.image_folder, processor, recipe, beside=stage.out))


def test_processor_and_training_have_the_same_ids_and_tiles_of_no_image_one_and_two(trained, two_images):
    processor = LlavaNextProcessor.from_pretrained(trained.out / "model")
    index = rows_of(trained, processor)
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


QUESTIONS = ["Che cosa vedi?", "C'è un cane?", " Che cosa vedi? "]


def test_evaluation_asks_with_the_ids_that_were_trained(trained):
    processor = LlavaNextProcessor.from_pretrained(trained.out / "model")
    tokenizer = processor.tokenizer
    template = chat_template(tokenizer, processor)
    assert template is not None and is_published(template.text)
    written = [
        *QUESTIONS,
        "<image>\nChi?",
        "Prima <image> e  poi?",
        "Prima <image> e poi <image>",
        "<image> <image> Chi?",
    ]
    for question in written:
        for images in {question.count(IMAGE_TOKEN) or 1, question.count(IMAGE_TOKEN)}:
            asked = prompt_ids(tokenizer, template, question, images)
            value = question if IMAGE_TOKEN in question else "<image>\n" * images + question
            turns = (Turn("user", value), Turn("assistant", "un cerchio"))
            row = encode(Conversation("1", ("a.png",) * images, turns, 1), tokenizer, trained.recipe)
            assert row.input_ids[: row.answer_start] == asked
            later = (*turns, Turn("user", "E poi?"), Turn("assistant", "tre"))
            row = encode(Conversation("1", ("a.png",) * images, later, 1), tokenizer, trained.recipe)
            asked = prompt_ids(tokenizer, template, "E poi?", images, [(value, "un cerchio")])
            assert row.input_ids[: row.answer_start] == asked


def test_perplexity_scores_the_tokens_that_were_trained(trained):
    folder = trained.out / "model"
    scorer = load_scorer(Model("chat", str(folder), str(folder), ""))
    pictures = [io.BytesIO(), io.BytesIO()]
    for picture, size in zip(pictures, SIZES, strict=False):
        image(size).save(picture, "PNG")
    items = [
        AnswerItem(f"{number} {question}", question, "un cerchio", str(number), picture.getvalue)
        for number, picture in enumerate(pictures)
        for question in QUESTIONS
    ]
    for item, score in zip(items, scorer(items), strict=True):
        turns = [Turn("user", f"{IMAGE_TOKEN}\n{item.question}"), Turn("assistant", item.answer)]
        prompt = ChatPrompt.of(scorer.processor)
        text = prompt.render(turns)
        shown = scorer.processor(images=image(SIZES[int(item.digest)]), text=text, return_tensors="pt")
        trained_ids = prompt.encode(turns)
        learned = [label for label in trained_ids.labels if label != -100]
        assert scorer.processor.tokenizer.decode(learned) == "un cerchio<|im_end|>"
        labels = shown["input_ids"].clone()
        behind = len(trained_ids.labels) - trained_ids.answer_start
        labels[:, :-behind], labels[:, -1] = -100, -100  # the newline behind the end
        with torch.inference_mode():
            loss = scorer.model(**shown, labels=labels).loss.item()
        assert score.answer_tokens == len(learned)
        assert score.nll / len(learned) == pytest.approx(loss, rel=1e-5)


def test_the_published_model_computes_the_loss_that_was_trained_of_two_images(trained):
    model, processor = load_model(trained.out / "model", trained.recipe)
    index = rows_of(trained, processor)
    place = next(place for place in range(len(index)) if len(index[place].images) == 2)
    dataset = ConversationDataset(index, trained.image_folder, processor, divide_all=True)
    batch = Collator(model.config.image_token_id, processor.tokenizer.pad_token_id)([dataset[place]])
    tiles = batch["tiles"].split(batch["tile_counts"].tolist())
    inputs = {
        "input_ids": batch["input_ids"],
        "attention_mask": batch["attention_mask"],
        "pixel_values": torch.nn.utils.rnn.pad_sequence(tiles, batch_first=True),
        "image_sizes": batch["image_sizes"],
    }
    with torch.inference_mode():
        theirs = model(**inputs, labels=batch["labels"]).loss
        ours = supervised_loss(model, batch)
    assert torch.allclose(ours, theirs, rtol=1e-6)


def test_a_next_stage_takes_its_own_system_prompt_and_generation_ends_at_the_turn(trained):
    folder = trained.out / "model"
    assert GenerationConfig.from_pretrained(folder).eos_token_id == [
        LlavaNextProcessor.from_pretrained(folder).tokenizer.convert_tokens_to_ids("<|im_end|>")
    ]
    other = dataclasses.replace(trained.recipe, system="Rispondi in breve.")
    processor = load_model(folder, other)[1]
    said = processor.apply_chat_template([{"role": "user", "content": "Ciao"}], add_generation_prompt=True)
    assert said == (
        "<|im_start|>system\nRispondi in breve.<|im_end|>\n<|im_start|>user\nCiao<|im_end|>\n"
        "<|im_start|>assistant\n<think>\n\n</think>\n\n"
    )


def test_a_template_that_fails_is_named_with_its_folder(language_model, backbones, chat, tmp_path):
    folder = Path(shutil.copytree(language_model, tmp_path / "broken"))
    for written, message in [("{% for m in %}", "the chat template fails"), (None, "has no chat template")]:
        path = folder / "chat_template.jinja"
        path.unlink() if written is None else path.write_text(written)
        with pytest.raises(ModelFolderError, match=rf"broken: .*{message}.*\(remedy: "):
            build_model(folder, backbones.vision_tower, chat)


def test_a_held_out_row_is_asked_after_its_own_prompt_and_says_what_it_should(trained):
    (sample,) = [json.loads(line) for line in (trained.out / "samples.jsonl").read_text().splitlines()]
    assert sample["answer"] == "un cerchio." and "<|im_end|>" not in sample["caption"]


def test_rows_that_the_length_limit_cuts_are_those_without_the_token_that_ends_the_answer(trained):
    processor = LlavaNextProcessor.from_pretrained(trained.out / "model")
    whole = rows_of(trained, processor)
    limit = int(np.median(whole.lengths))
    changed = dataclasses.replace(trained, recipe=dataclasses.replace(trained.recipe, max_length=limit))
    index = rows_of(changed, processor)
    # The newline behind the end may be cut off without a loss.
    assert (whole.lengths == limit).any() and (whole.lengths == limit + 1).any()
    wanted = {
        int(row) for row, length in zip(whole.row_numbers, whole.lengths, strict=True) if length > limit + 1
    }
    assert cut_rows(index, processor.tokenizer, changed) == len(wanted & {*index.row_numbers.tolist()}) > 0
    assert cut_rows(whole, processor.tokenizer, trained) == 0


def test_the_index_depends_on_the_template_and_its_special_tokens_and_llama_3_s_does_not(
    trained, built, recipe
):
    data, images = trained.data, trained.image_folder
    model = trained.out / "model"
    keys = []
    for system in ("Sei un modello.", "Altro."):
        changed = dataclasses.replace(trained.recipe, system=system)
        processor = load_model(model, changed)[1]
        keys.append(index_key(data, images, processor, changed))
    assert keys[0]["template"] != keys[1]["template"] and keys[0]["recipe"] != keys[1]["recipe"]
    assert [index.folder.name for index in indexes_at_hand(trained)]
    other = dataclasses.replace(trained, recipe=changed)
    assert not [*indexes_at_hand(other)]
    plain = dataclasses.replace(trained.recipe, prompt="plain", system=None)
    before = index_key(data, images, processor, plain)
    processor.tokenizer.eos_token = "<|endoftext|>"
    assert index_key(data, images, processor, plain)["template"] != before["template"]
    llama3 = index_key(data, images, built[1], recipe)
    assert "template" not in llama3
    assert llama3["recipe"].keys() == {
        "prompt",
        "supervision",
        "plain_ending",
        "max_length",
        "grid_pinpoints",
    }
