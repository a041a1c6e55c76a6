"""What is trained: rows with lengths as of a mix of The Cauldron and EUR-Lex, and backbones to begin at."""

from __future__ import annotations

import random
from pathlib import Path
from typing import cast

import numpy as np
from PIL import Image
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModel, LlamaForCausalLM

from benchmarks.shape_matched import build_model as random_model
from benchmarks.shape_matched import llama_config, proportions
from fixtures.tiny import CORPUS, tiny_tokenizer
from ndino.formats.llava_json import write_conversations

SIDE = 112
PINPOINTS = ((112, 224), (224, 112), (224, 224), (112, 336), (336, 112))
SCALE = 3  # of the 8B model's 336 pixels a tile
PHOTOGRAPHS = ((640, 480), (480, 640), (500, 375), (1024, 768))
FIGURES = ((500, 130), (480, 320), (350, 250), (1000, 1000), (192, 192))
PAGE = (2480, 3508)


def write_rows(folder: Path, count: int) -> None:
    """``rows.jsonl`` and ``images/`` with ``count`` rows of the mix."""
    draw = random.Random(0)
    words = " ".join(CORPUS).split()
    tokenizer = tiny_tokenizer()
    tokens_of_a_word = len(tokenizer(" ".join(words))["input_ids"]) / len(words)

    def text(tokens: float) -> str:
        return " ".join(draw.choices(words, k=max(1, round(tokens / SCALE**2 / tokens_of_a_word))))

    (folder / "images").mkdir()
    records = []
    for number in range(count):
        kind = draw.random()
        sizes = PHOTOGRAPHS if kind < 0.55 else FIGURES if kind < 0.75 else (PAGE,)
        rounds = draw.randint(1, 6) if kind < 0.55 else draw.randint(1, 2) if kind < 0.75 else 1
        answer = (4, 60) if kind < 0.75 else (100, 1600)
        width, height = (side // SCALE for side in draw.choice(sizes))
        pixels = np.random.default_rng(number).integers(256, size=(height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{number}.jpg")
        turns = []
        for _ in range(rounds):
            turns.append({"from": "human", "value": text(draw.randint(10, 30))})
            turns.append({"from": "gpt", "value": text(draw.randint(*answer))})
        turns[0]["value"] = "<image>\n" + turns[0]["value"]
        records.append({"id": str(number), "image": f"{number}.jpg", "conversations": turns})
    write_conversations(folder / "rows.jsonl", records)


def write_backbones(folder: Path, *, vocabulary: int, hidden: int, layers: int) -> dict[str, float]:
    """``llama/`` and ``tower/`` for both engines; returns the model's proportions."""
    text = llama_config(vocabulary=vocabulary, hidden=hidden, layers=layers)
    pinpoints = [list(pinpoint) for pinpoint in PINPOINTS]
    model = random_model(text, side=SIDE, pinpoints=pinpoints, tower_layers=4, tower_heads=6)
    language = LlamaForCausalLM(text)
    language.model.load_state_dict(model.model.language_model.state_dict())
    language.lm_head.load_state_dict(model.lm_head.state_dict())
    language.save_pretrained(folder / "llama")
    tiny_tokenizer(base=True).save_pretrained(folder / "llama")
    tower = CLIPVisionModel(cast("CLIPVisionConfig", model.config.vision_config))
    tower.load_state_dict(model.model.vision_tower.state_dict())
    tower.save_pretrained(folder / "tower")
    CLIPImageProcessor(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
    ).save_pretrained(folder / "tower")
    return proportions(model)
