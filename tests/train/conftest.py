"""Tiny backbones, a recipe at their size, and a few rows of real images to train on."""

from __future__ import annotations

import dataclasses
import json
import random
from dataclasses import dataclass
from pathlib import Path

import pytest

from miniature.backbones import make_tokenizer, pretrain_language_model, pretrain_tower
from miniature.worlds.scenes import random_scene
from ndino.formats.llava_json import write_conversations
from ndino.formats.recipes import Recipe, load_recipe
from ndino.languages.lexicon import lexicon
from ndino.train.build import build_model
from ndino.train.engine import run_stage
from ndino.train.stage import Stage

ROOT = Path(__file__).parents[2]
ROWS = 12


@dataclass(frozen=True)
class Backbones:
    language_model: Path
    vision_tower: Path


@pytest.fixture(scope="session")
def backbones(tmp_path_factory) -> Backbones:
    folder = tmp_path_factory.mktemp("backbones")
    rng = random.Random(0)
    texts = [random_scene(rng).caption(lexicon("it")) for _ in range(50)]
    tokenizer = make_tokenizer(iter(texts), folder / "language-model")
    pretrain_language_model(tokenizer, folder / "language-model", seed=0, steps=2, on_step=lambda *_: None)
    pretrain_tower(folder / "vision-tower", seed=0, steps=2, on_step=lambda *_: None)
    return Backbones(folder / "language-model", folder / "vision-tower")


@pytest.fixture(scope="session")
def rows(tmp_path_factory) -> Path:
    """Folder with rows.jsonl (short answers), captions.jsonl and images of several sizes."""
    folder = tmp_path_factory.mktemp("rows")
    rng = random.Random(0)
    (folder / "images").mkdir()
    records = []
    for index in range(ROWS):
        scene = random_scene(rng)
        image = scene.draw(rng)
        size = [(112, 112), (200, 100), (60, 150)][index % 3]
        image.resize(size).save(folder / "images" / f"{index}.png")
        records.append(
            {
                "id": str(index),
                "image": f"{index}.png",
                "conversations": [
                    {"from": "human", "value": "<image>\nChe cosa vedi?"},
                    {"from": "gpt", "value": scene.caption(lexicon("it"))},
                ],
            }
        )
    write_conversations(folder / "rows.jsonl", records)
    return folder


def mix_in_texts(rows: Path, folder: Path) -> Path:
    """Write `rows` to ``folder``, and some text-only rows: a rank may have no image while another has one."""
    (folder / "images").symlink_to(rows / "images")
    records = [json.loads(line) for line in (rows / "rows.jsonl").read_text().splitlines()]
    question = {"from": "human", "value": "Chi sei?"}
    for number in (1, 3, 4, 7):
        answer = {"from": "gpt", "value": "Un modello. " * number}
        records.insert(2 * number, {"id": f"text-{number}", "conversations": [question, answer]})
    write_conversations(folder / "rows.jsonl", records)
    return folder


def texts(folder: Path) -> Path:
    """Eight rows without an image."""
    rows = [
        json.dumps({"id": str(number), "conversations": [{"from": "human", "value": "Chi sei?"}, answer]})
        for number in range(8)
        for answer in [{"from": "gpt", "value": f"Il numero {number}."}]
    ]
    data = folder / "texts.jsonl"
    data.write_text("\n".join(rows) + "\n")
    return data


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    """The it recipe at the miniature's size: 6 steps of 4 samples, a checkpoint every 2."""
    loaded = load_recipe(ROOT / "launch" / "recipes" / "it.yaml", ROOT / "miniature" / "recipes.yaml")
    return dataclasses.replace(
        loaded,
        max_steps=6,
        save_steps=2,
        effective_batch=4,
        per_device_batch=4,
        grid_pinpoints=((112, 112), (56, 112), (112, 56)),
    )


@pytest.fixture(scope="session")
def built(backbones, recipe):
    """A model in evaluation mode, and its processor."""
    model, processor = build_model(backbones.language_model, backbones.vision_tower, recipe)
    return model.eval(), processor


@pytest.fixture
def stage(backbones, rows, recipe, tmp_path) -> Stage:
    return Stage(
        recipe=recipe,
        data=rows / "rows.jsonl",
        image_folder=rows / "images",
        out=tmp_path / "run",
        language_model=backbones.language_model,
        vision_tower=backbones.vision_tower,
    )


def interrupt(stage: Stage, *, at: int) -> None:
    """Run a stage of the native engine until Ctrl-C comes at the end of step ``at``."""

    def stop(step: int, of: int) -> None:
        if step == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_stage(stage, on_step=stop)
