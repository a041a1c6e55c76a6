"""The tiny backbones: single tokens where LLaMA 3 has them, patch labels, and repeatable training."""

from __future__ import annotations

import random

import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer

from miniature.backbones import (
    FEATURE_LAYER,
    make_tokenizer,
    patch_labels,
    pretrain_language_model,
    pretrain_tower,
    texts_in,
    texts_of,
)
from miniature.worlds.scenes import ColouredShape, Scene, random_scene
from ndino.formats.llava_json import write_conversations
from ndino.formats.prompts import MARKERS
from ndino.languages.lexicon import lexicon


def english(number: int) -> list[str]:
    rng = random.Random(0)
    return [random_scene(rng).caption(lexicon("en")) for _ in range(number)]


def test_markers_are_single_tokens_and_any_text_round_trips(tmp_path):
    make_tokenizer(iter(english(50)), tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    for text in (*MARKERS, "user", " assistant"):
        assert len(tokenizer(text, add_special_tokens=False)["input_ids"]) == 1, text
    text = "Perché c'è un caffè? 12345 \U0001f600\n\n"
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


def test_texts_are_those_of_every_turn_without_the_image_token(tmp_path):
    turns = [{"from": "human", "value": "<image>\nChe cosa?"}, {"from": "gpt", "value": "Niente."}]
    rows = [{"id": "0", "image": "a.png", "conversations": turns}]
    for name in ("b", "a"):
        write_conversations(tmp_path / f"{name}.jsonl", rows)
    assert [text.strip() for text in texts_of(tmp_path)] == ["Che cosa?", "Niente."] * 2
    assert len(list(texts_in([tmp_path / "a.jsonl"]))) == 2


def test_patches_of_the_whole_image_are_quadrants_and_those_of_a_tile_are_its_quadrant():
    scene = Scene((ColouredShape(0, 3), None, None, ColouredShape(2, 1)))
    corners = [(1, 4), (0, 0), (0, 0), (3, 2)]
    assert patch_labels(scene) == corners + [corners[0]] * 4 + [(0, 0)] * 8 + [corners[3]] * 4


def test_the_tower_learns_and_one_seed_gives_one_tower(tmp_path, monkeypatch):
    from torch.nn import functional

    losses = []

    def note(*arguments, **options):
        loss = functional.cross_entropy(*arguments, **options)
        losses.append(loss.item())
        return loss

    monkeypatch.setattr("miniature.backbones.cross_entropy", note)
    weights = []
    for seed, name in ((1, "a"), (1, "b"), (2, "c")):
        pretrain_tower(tmp_path / name, seed=seed, steps=30, on_step=lambda *_: None)
        weights.append(load_file(tmp_path / name / "model.safetensors"))
    assert sum(losses[50:60]) < 0.8 * sum(losses[:10])
    same, other = ([torch.equal(weights[0][key], each[key]) for key in each] for each in weights[1:])
    assert all(same) and not all(other)
    assert FEATURE_LAYER == -2  # LLaVA's vision_feature_layer


def test_the_language_model_learns_english_captions(tmp_path):
    tokenizer = make_tokenizer(iter(english(50)), tmp_path)
    steps = []
    pretrain_language_model(
        tokenizer, tmp_path / "lm", seed=0, steps=3, on_step=lambda *step: steps.append(step)
    )
    assert steps == [(1, 3), (2, 3), (3, 3)]
    weights = load_file(tmp_path / "lm" / "model.safetensors")
    rows = weights["model.embed_tokens.weight"].shape[0]
    assert rows % 64 == 0 and rows >= len(tokenizer)
