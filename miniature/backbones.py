"""Pre-train tiny backbones, in place of LLaMA 3 and CLIP: a tokenizer, a language model, a vision tower.

The tokenizer is a byte-level BPE with LLaMA 3's pattern and special tokens. The language model is trained on
English captions only, because LLaMA 3, too, has seen little of other languages. The tower is trained to
classify the shape and the colour of each patch, at the layer that LLaVA reads. All random draws are seeded.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from torch.nn.functional import cross_entropy
from tqdm import trange
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil

from miniature.worlds.scenes import SIDE, Scene, random_scene
from ndino.common.files import follow_umask
from ndino.common.transformers_types import special_tokens
from ndino.formats.llava_json import read_conversations
from ndino.formats.prompts import BEGIN_OF_TEXT, END_OF_TEXT, IMAGE_TOKEN, MARKERS
from ndino.languages.lexicon import COLOURS, SHAPES, lexicon

VOCABULARY = 2048
LANGUAGE_STEPS, TOWER_STEPS = 300, 1600
TILE = 56  # pixels
PATCH = 28  # pixels
GRID = [[SIDE, SIDE]]
# The hidden layer that LLaVA takes its image features from; layers above it are never used.
FEATURE_LAYER = -2

TEXT: dict[str, Any] = dict(
    hidden_size=64, intermediate_size=176, num_hidden_layers=3, num_attention_heads=2, num_key_value_heads=2
)
VISION: dict[str, Any] = dict(
    hidden_size=64, intermediate_size=128, num_hidden_layers=3, num_attention_heads=2
)

# LLaMA 3's regular expression for splitting text before byte pairs are merged.
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)

OnStep = Callable[[int, int], None]


def texts_of(data: Path) -> Iterator[str]:
    """Yield every text of the training files in the folder ``data``."""
    return texts_in(sorted(data.glob("*.jsonl")))


def texts_in(files: Iterable[Path]) -> Iterator[str]:
    """Yield every text of these training files."""
    for path in files:
        for conversation in read_conversations(path):
            for turn in conversation.turns:
                yield turn.text.replace(IMAGE_TOKEN, "")


def make_tokenizer(texts: Iterator[str], folder: Path) -> PreTrainedTokenizerFast:
    """Train the tokenizer on ``texts`` and save it to ``folder``."""
    backend = Tokenizer(BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(MARKERS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    # Repeated so that BPE merges the role names of the headers, which are single tokens in LLaMA 3. Only
    # "user" becomes one: "assistant" is learned with the space before it.
    backend.train_from_iterator([*texts, *["user assistant\n\n"] * 100], trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=BEGIN_OF_TEXT,
        eos_token=END_OF_TEXT,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.save_pretrained(folder)
    return tokenizer


def pretrain_language_model(
    tokenizer: PreTrainedTokenizerFast, folder: Path, *, seed: int, steps: int, on_step: OnStep | None = None
) -> None:
    """Pre-train a tiny LLaMA on English captions and save it to ``folder``."""
    torch.manual_seed(seed)
    rng = random.Random(f"{seed} language model")
    english = lexicon("en")
    special = special_tokens(tokenizer)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=-(-len(tokenizer) // 64) * 64,
            bos_token_id=special.bos_token_id,
            eos_token_id=special.eos_token_id,
            max_position_embeddings=512,
            tie_word_embeddings=False,
            # LLaMA's default 0.02 suits a hidden size of 4096; at 64 the loss stays on a plateau for minutes.
            initializer_range=TEXT["hidden_size"] ** -0.5,
            **TEXT,
        )
    )

    def batch() -> torch.Tensor:
        texts = [f"{BEGIN_OF_TEXT}{random_scene(rng).caption(english)}{END_OF_TEXT}" for _ in range(16)]
        rows = tokenizer(texts, add_special_tokens=False)["input_ids"]
        width = max(map(len, rows))
        return torch.tensor([row + [-100] * (width - len(row)) for row in rows])

    def loss() -> torch.Tensor:
        labels = batch()
        return model(input_ids=labels.clamp(min=0), labels=labels).loss

    _train(model, loss, steps, on_step, "Pre-training the language model")
    model.save_pretrained(folder)
    follow_umask(folder)


def pretrain_tower(folder: Path, *, seed: int, steps: int, on_step: OnStep | None = None) -> None:
    """Train a tiny CLIP tower to classify each patch's shape and colour, and save it to ``folder``."""
    torch.manual_seed(seed)
    rng = random.Random(f"{seed} tower")
    config = CLIPVisionConfig(image_size=TILE, patch_size=PATCH, **VISION)
    tower = CLIPVisionModel(config)
    heads = torch.nn.Linear(config.hidden_size, len(SHAPES) + 1 + len(COLOURS) + 1)
    processor = LlavaNextImageProcessorPil(
        size={"shortest_edge": TILE}, crop_size={"height": TILE, "width": TILE}, image_grid_pinpoints=GRID
    )

    def loss() -> torch.Tensor:
        scenes = [random_scene(rng) for _ in range(16)]
        pixels = processor([scene.draw(rng) for scene in scenes], return_tensors="np")["pixel_values"]
        pixels = torch.from_numpy(np.asarray(pixels, dtype=np.float32)).flatten(0, 1)
        labels = torch.tensor([label for scene in scenes for label in patch_labels(scene)])
        patches = tower(pixels, output_hidden_states=True).hidden_states[FEATURE_LAYER][:, 1:]
        shapes, colours = heads(patches).split([len(SHAPES) + 1, len(COLOURS) + 1], dim=-1)
        return cross_entropy(shapes.flatten(0, 1), labels[:, 0]) + cross_entropy(
            colours.flatten(0, 1), labels[:, 1]
        )

    both = torch.nn.ModuleList([tower, heads])
    _train(both, loss, steps, on_step, "Pre-training the vision tower")
    tower.save_pretrained(folder)
    processor.save_pretrained(folder)
    follow_umask(folder)


def patch_labels(scene: Scene) -> list[tuple[int, int]]:
    """(shape, colour) labels of the 20 patches of a scene's five tiles; 0 means empty.

    The first tile is the whole image, so its four patches are the four quadrants. Each further tile is one
    quadrant, so its four patches all have the quadrant's label.
    """
    quadrants = [(each.shape + 1, each.colour + 1) if each else (0, 0) for each in scene.quadrants]
    return quadrants + [label for label in quadrants for _ in range(4)]


def _train(
    model: torch.nn.Module, loss: Callable[[], torch.Tensor], steps: int, on_step: OnStep | None, title: str
) -> None:
    # Fused, like the default of transformers' Trainer; miniature/arithmetic.py says why it must be.
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=2e-3, betas=(0.9, 0.95), weight_decay=0.0, fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=2e-3, total_steps=steps, pct_start=0.05)
    model.train()
    for step in trange(steps, desc=title, disable=on_step is not None):
        optimizer.zero_grad()
        value = loss()
        value.backward()
        optimizer.step()
        schedule.step()
        if on_step is not None:
            on_step(step + 1, steps)
