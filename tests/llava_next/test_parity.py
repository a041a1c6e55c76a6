"""The two engines on the same weights and the same batch: equal ids, labels, loss and projector gradient."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from ndino.formats.prompts import IMAGE_TOKEN
from ndino.llava_next.arguments import VERSIONS
from ndino.train.batches import Collator
from ndino.train.build import load_model
from ndino.train.dataset import ConversationDataset
from ndino.train.loss import patch_forward, supervised_loss
from ndino.train.rows.building import make_index
from ndino.train.rows.index import open_index

pytestmark = pytest.mark.upstream

LIMIT = 512
SIZES = {"square": (112, 112), "wide": (230, 90), "tall": (64, 170), "small": (31, 22)}
LONG = "Si vede un cerchio rosso accanto a un quadrato blu, e sotto di loro due stelle gialle! " * 3


def row(images: tuple[str, ...], *turns: str) -> dict:
    messages = [
        {"from": "human" if index % 2 == 0 else "gpt", "value": text} for index, text in enumerate(turns)
    ]
    record = {"id": "-".join(images) or "text", "conversations": messages}
    if images:
        names = [f"{image}.png" for image in images]
        record["image"] = names[0] if len(names) == 1 else names
    return record


BATCHES = {
    "text only": [row((), "Che colore ha il cielo?", "Blu!"), row((), "Ciao", LONG)],
    "one image": [row(("square",), "<image>\nChe cosa vedi?", "Un cerchio rosso.")],
    "small image": [row(("small",), "<image>\nChe cosa vedi?", "Un cerchio rosso.")],
    "wide and tall": [
        row(("wide",), "Che cosa vedi?\n<image>", "Due stelle."),
        row(("tall",), "<image>\nE qui?", "Niente!"),
    ],
    "two images": [row(("wide", "tall"), "<image>\n<image>\nSono uguali?", "No, per niente.")],
    "mixed lengths": [
        row(("tall",), "<image>\nChe cosa vedi?", LONG),
        row((), "Quanti sono?", "3"),
        row(("square",), "<image>\nDove?", "A sinistra.", "E il quadrato?", "A destra!"),
        row(("square", "small"), "<image>\n<image>\nQuale?", "Il primo."),
    ],
}
# The plain prompt knows one image-text pair a row.
PLAIN = {
    name: [record for record in batch if len(record["conversations"]) == 2] for name, batch in BATCHES.items()
}


@pytest.fixture(scope="session")
def images(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    generator = torch.Generator().manual_seed(0)
    for name, (width, height) in SIZES.items():
        pixels = torch.randint(0, 256, (height, width, 3), generator=generator, dtype=torch.uint8)
        Image.fromarray(pixels.numpy()).save(folder / f"{name}.png")
    return folder


@pytest.fixture(scope="session")
def upstream(first_run, images, inside, tmp_path_factory) -> dict[tuple[str, str], tuple[Path, float]]:
    """Rows file and upstream's loss by batch and prompt; upstream's tensors are beside the file."""
    folder = tmp_path_factory.mktemp("batches")
    files = {}
    for prompt, version in VERSIONS.items():
        for name, batch in (PLAIN if prompt == "plain" else BATCHES).items():
            files[name, prompt] = folder / f"{version}.{name}.json"
            files[name, prompt].write_text(json.dumps(batch), encoding="utf-8")
    losses = inside(
        "parity",
        checkpoint=first_run / "upstream",
        batches=list(files.values()),
        images=images,
        limit=LIMIT,
    )
    return {key: (file, losses[str(file)]) for key, file in files.items()}


@pytest.mark.parametrize("prompt", VERSIONS)
@pytest.mark.parametrize("name", BATCHES)
def test_both_engines_have_equal_inputs_loss_and_gradient(
    name, prompt, upstream, first_run, first_recipe, images
):
    recipe = dataclasses.replace(first_recipe, prompt=prompt, max_length=LIMIT)
    data, upstream_loss = upstream[name, prompt]
    theirs = load_file(data.with_suffix(".safetensors"))
    batch = json.loads(data.read_text(encoding="utf-8"))

    model, processor = load_model(first_run / "model", recipe)
    patch_forward(model)
    index = open_index(make_index(data, images, processor, recipe, beside=data.parent))
    assert index.rejects == ()
    dataset = ConversationDataset(index, images, processor)
    image = processor.tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
    samples = [dataset[index] for index in range(len(dataset))]
    for index, sample in enumerate(samples):
        kept = theirs["attention_mask"][index].bool()
        ids = theirs["input_ids"][index][kept]
        assert torch.where(ids == -200, image, ids).tolist() == sample["input_ids"].tolist()
        assert theirs["labels"][index][kept].tolist() == sample["labels"].tolist()

    ours = Collator(image_token_id=image, pad_token_id=processor.tokenizer.pad_token_id)(samples)
    newline = any(record.get("image") for record in batch)
    assert_equal_training(model, ours, theirs, upstream_loss, newline=newline)


def assert_equal_training(model, ours, theirs: dict, upstream_loss: float, *, newline: bool) -> None:
    assert theirs["widened_labels"].tolist() == ours["labels"].tolist()
    loss = supervised_loss(model, ours)
    assert loss.item() == pytest.approx(upstream_loss, abs=1e-5)

    loss.backward()
    projector = model.model.multi_modal_projector
    gradients = {
        "0.weight": projector.linear_1.weight,
        "0.bias": projector.linear_1.bias,
        "2.weight": projector.linear_2.weight,
        "2.bias": projector.linear_2.bias,
    }
    for parameter, weight in gradients.items():
        difference = (theirs[f"gradient.{parameter}"] - _gradient(weight)).abs().max().item()
        assert difference < 1e-4, parameter
    if newline:
        assert gradients["2.weight"].grad.abs().max() > 1e-3
        newline = (theirs["gradient.image_newline"] - model.model.image_newline.grad).abs().max().item()
        assert newline < 1e-4


SHORT = 96  # tokens; a row's image takes 24 of them, or 5 where it has several


def rows_around_the_limit() -> list[dict]:
    """Answers that end on both sides of ``SHORT`` tokens, or leave a second image there, and behind it."""
    rows = [row(("square",), "<image>\nChe cosa vedi?", "blu " * n + "!") for n in range(8, 90, 6)]
    for n in range(36, 66):
        rows.append(
            row(("wide", "tall"), "<image>\nQuale?", "blu " * n + "!", "<image>\nE qui?", "Il primo.")
        )
    return [{**record, "id": str(number)} for number, record in enumerate(rows)]


def test_both_engines_cut_the_same_rows_at_the_same_token(first_run, first_recipe, images, inside, tmp_path):
    """Upstream cuts the text with an image as one token, and again when the image has become its features."""
    made: dict[str, tuple] = {}
    for prompt, version in VERSIONS.items():
        recipe = dataclasses.replace(first_recipe, prompt=prompt, max_length=SHORT)
        model, processor = load_model(first_run / "model", recipe)
        patch_forward(model)
        data = tmp_path / f"{prompt}.json"
        # The last row's question alone is too long: nothing of its answer is left.
        lost = row(("square",), "<image>\n" + "che " * SHORT, "Un cerchio.")
        records = [
            record
            for record in rows_around_the_limit()
            if prompt == "llama3" or len(record["conversations"]) == 2
        ]
        data.write_text(json.dumps([*records, lost] if prompt == "llama3" else records))
        index = open_index(make_index(data, images, processor, recipe, beside=data))
        usable = tmp_path / f"{version}.usable.json"
        usable.write_text(json.dumps([records[number - 1] for number in index.row_numbers]))
        dataset = ConversationDataset(index, images, processor)
        made[prompt] = usable, model, processor, dataset, index
    losses = inside(
        "parity",
        checkpoint=first_run / "upstream",
        batches=[each[0] for each in made.values()],
        images=images,
        limit=SHORT,
    )
    for usable, model, processor, dataset, index in made.values():
        samples = [dataset[position] for position in range(len(dataset))]
        image = processor.tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
        ours = Collator(image_token_id=image, pad_token_id=processor.tokenizer.pad_token_id)(samples)
        assert ours["attention_mask"].sum(dim=1).tolist() == index.lengths.tolist()
        assert index.lengths.max() == SHORT and (index.lengths < SHORT).any()
        theirs = load_file(usable.with_suffix(".safetensors"))
        assert_equal_training(model, ours, theirs, losses[str(usable)], newline=True)
    *_, index = made["llama3"]
    cut_images = {
        row.image_tokens[1:] for row in (index[n] for n in range(len(index))) if len(row.images) == 2
    }
    assert {(5,), ()} <= cut_images and cut_images & {(1,), (2,), (3,), (4,)}, "no row had its image cut"
    assert "no supervised token is left after truncation to 96 tokens" in index.rejects[-1].reason


def _gradient(parameter: torch.nn.Parameter) -> torch.Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
