"""Models with random weights and drawn rows for the GPU check, written to a folder."""

from __future__ import annotations

import dataclasses
import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from PIL import Image
from transformers import CLIPVisionConfig, LlamaConfig, LlavaNextConfig, LlavaNextForConditionalGeneration

from benchmarks.shape_matched import save_model
from fixtures.tiny import tiny_tokenizer
from ndino.common.transformers_types import token_id
from ndino.formats.llava_json import write_conversations
from ndino.formats.prompts import IMAGE_TOKEN
from ndino.formats.recipes import Recipe, load_recipe

ROOT = Path(__file__).resolve().parents[2]
SHAPES = [
    "un cerchio rosso",
    "il quadrato",
    "una stella blu",
    "due cani",
    "l'orso",
    "tre gatti",
    "a sinistra",
]
SIZES = [(640, 480)] * 4 + [(480, 640), (1000, 420), (336, 336), (800, 600)]  # (width, height) in pixels


@dataclass(frozen=True)
class Shape:
    """A language model's and a tower's sizes; ``side`` of a tile and of a patch in pixels."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    ffn: int
    vocabulary: int
    tower_hidden: int = 1024
    tower_layers: int = 24
    tower_heads: int = 16
    side: int = 336
    patch: int = 14

    @property
    def pinpoints(self) -> list[list[int]]:
        """The paper's grid: (height, width) in pixels."""
        one = self.side
        return [[2 * one, one], [one, 2 * one], [2 * one, 2 * one], [one, 3 * one], [3 * one, one]]


TINY = Shape(64, 2, 2, 1, 128, 512, tower_hidden=64, tower_layers=3, tower_heads=2, side=56, patch=28)
SMALL = Shape(512, 4, 8, 4, 1792, 2048, tower_hidden=192, tower_layers=4, tower_heads=3, side=112)
LLAMA_1B = Shape(2048, 16, 32, 8, 8192, 128_320)
LLAMA_8B_WIDTH = Shape(4096, 4, 32, 8, 14_336, 128_320)


def write_model(folder: Path, shape: Shape, *, dtype: torch.dtype, device: str) -> Path:
    """A random model of ``shape`` in Hugging Face format; drawn on ``device``, which is faster on a GPU."""
    tokenizer = tiny_tokenizer()
    text = LlamaConfig(
        hidden_size=shape.hidden,
        intermediate_size=shape.ffn,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        vocab_size=shape.vocabulary,
        max_position_embeddings=8192,
        rope_parameters={"rope_type": "default", "rope_theta": 500_000.0},
        tie_word_embeddings=False,
        **{f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("pad", "bos", "eos")},
    )
    vision = CLIPVisionConfig(
        hidden_size=shape.tower_hidden,
        intermediate_size=4 * shape.tower_hidden,
        num_hidden_layers=shape.tower_layers,
        num_attention_heads=shape.tower_heads,
        image_size=shape.side,
        patch_size=shape.patch,
        projection_dim=shape.tower_hidden,
    )
    config = LlavaNextConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=token_id(tokenizer, IMAGE_TOKEN),
        image_grid_pinpoints=shape.pinpoints,
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        tie_word_embeddings=False,
    )
    torch.manual_seed(0)
    with torch.device(device):
        model: Any = LlavaNextForConditionalGeneration._from_config(config, dtype=dtype)
    save_model(model, folder, patch=shape.patch)
    return folder


def write_rows(folder: Path, count: int, *, scale: float = 1.0, words: int = 400) -> Path:
    """``count`` questions about drawn images, with answers of 1 to ``words`` words, most of them short."""
    rng = random.Random(0)
    (folder / "images").mkdir(parents=True)
    rows = []
    for number in range(count):
        width, height = SIZES[number % len(SIZES)]
        squares = Image.frombytes("RGB", (6, 6), rng.randbytes(108))
        squares.resize((round(width * scale), round(height * scale)), Image.Resampling.NEAREST).save(
            folder / "images" / f"{number}.png"
        )
        length = min(words, max(1, round(rng.lognormvariate(3.0, 1.2))))
        answer = " ".join(rng.choice(SHAPES) for _ in range(length))
        question = "<image>\nChe cosa vedi?"
        turns = [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]
        rows.append({"id": str(number), "image": f"{number}.png", "conversations": turns})
    write_conversations(folder / "rows.jsonl", rows)
    return folder


def recipe_for(shape: Shape, **changes: Any) -> Recipe:
    """The recipe ``it`` with the shape's grid, in steps of 8 samples, and with ``changes``."""
    recipe = load_recipe(ROOT / "launch" / "recipes" / "it.yaml")
    steps: dict[str, Any] = {"epochs": None, "max_steps": 100, "save_steps": 1000}
    steps |= {"effective_batch": 8, "per_device_batch": 4}
    grid = tuple((height, width) for height, width in shape.pinpoints)
    return dataclasses.replace(recipe, grid_pinpoints=grid, **{**steps, **changes})


def write_recipe(path: Path, recipe: Recipe) -> Path:
    """The recipe as a file for ``ndino train``; its name is the file's."""
    values = json.loads(json.dumps(dataclasses.asdict(recipe)))
    del values["name"]
    path.write_text(yaml.safe_dump(values))
    return path
