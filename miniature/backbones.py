"""Pre-train tiny backbones, by default in place of LLaMA 3 and CLIP: tokenizer, language model, vision tower.

The language model is trained on English captions only, because LLaMA 3, too, has seen little of other
languages. The tower is trained to classify the shape and the colour of each patch, at the layer that LLaVA
reads. All random draws are seeded.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from tqdm import trange
from transformers import (
    CONFIG_MAPPING,
    MODEL_FOR_CAUSAL_LM_MAPPING,
    CLIPVisionConfig,
    CLIPVisionModel,
    PreTrainedTokenizerFast,
    SiglipVisionConfig,
    SiglipVisionModel,
)
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil

from miniature.architectures.language_models import LANGUAGE_KINDS, train_tokenizer
from miniature.worlds.scenes import SIDE, Scene, random_scene
from ndino.common.files import follow_umask
from ndino.common.transformers_types import special_tokens
from ndino.formats.llava_json import read_conversations
from ndino.formats.prompts import IMAGE_TOKEN
from ndino.languages.lexicon import COLOURS, SHAPES, lexicon

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


@dataclass(frozen=True)
class TowerKind:
    """A kind of vision tower.

    Attributes:
        config, model: its classes in transformers.
        class_tokens: how many tokens it has before those of the patches.
        normalisation: settings of its image processor, where they are not CLIP's.
    """

    config: Any
    model: Any
    class_tokens: int
    normalisation: Mapping[str, Any]


TOWER_KINDS = {
    "clip": TowerKind(CLIPVisionConfig, CLIPVisionModel, 1, {}),
    # SigLIP 2 of fixed resolution has SigLIP's architecture.
    "siglip2": TowerKind(
        SiglipVisionConfig, SiglipVisionModel, 0, {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    ),
}

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


def make_tokenizer(texts: Iterator[str], folder: Path, kind: str = "llama") -> PreTrainedTokenizerFast:
    """Train the tokenizer of a kind of language model on ``texts`` and save it to ``folder``."""
    tokenizer = train_tokenizer(texts, LANGUAGE_KINDS[kind])
    tokenizer.save_pretrained(folder)
    return tokenizer


def pretrain_language_model(
    tokenizer: PreTrainedTokenizerFast,
    folder: Path,
    *,
    seed: int,
    steps: int,
    on_step: OnStep | None = None,
    kind: str = "llama",
) -> None:
    """Pre-train a tiny language model on English captions and save it to ``folder``.

    Args:
        kind: one of `LANGUAGE_KINDS`; the tokenizer is of the same.
    """
    torch.manual_seed(seed)
    rng = random.Random(f"{seed} language model")
    english = lexicon("en")
    special, made = special_tokens(tokenizer), LANGUAGE_KINDS[kind]
    kind_of_config: Any = CONFIG_MAPPING[made.model_type]
    config = kind_of_config(
        vocab_size=-(-len(tokenizer) // 64) * 64,
        bos_token_id=special.bos_token_id,
        eos_token_id=special.eos_token_id,
        max_position_embeddings=512,
        # LLaMA's default 0.02 suits a hidden size of 4096; at 64 the loss stays on a plateau for minutes.
        initializer_range=TEXT["hidden_size"] ** -0.5,
        **made.settings,
        **TEXT,
    )
    kind_of_model: Any = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    model = kind_of_model(config)

    def batch() -> torch.Tensor:
        captions = (random_scene(rng).caption(english) for _ in range(16))
        texts = [f"{made.begin or ''}{caption}{made.end}" for caption in captions]
        rows = tokenizer(texts, add_special_tokens=False)["input_ids"]
        width = max(map(len, rows))
        return torch.tensor([row + [-100] * (width - len(row)) for row in rows])

    def loss() -> torch.Tensor:
        labels = batch()
        return model(input_ids=labels.clamp(min=0), labels=labels).loss

    _train(model, loss, steps, on_step, "Pre-training the language model")
    model.save_pretrained(folder)
    follow_umask(folder)


def pretrain_tower(
    folder: Path, *, seed: int, steps: int, on_step: OnStep | None = None, kind: str = "clip"
) -> None:
    """Train a tiny tower to classify each patch's shape and colour, and save it to ``folder``.

    Args:
        kind: one of `TOWER_KINDS`.
    """
    torch.manual_seed(seed)
    rng = random.Random(f"{seed} tower")
    of_kind = TOWER_KINDS[kind]
    config = of_kind.config(image_size=TILE, patch_size=PATCH, **VISION)
    tower = of_kind.model(config)
    heads = torch.nn.Linear(config.hidden_size, len(SHAPES) + 1 + len(COLOURS) + 1)
    processor = LlavaNextImageProcessorPil(
        size={"shortest_edge": TILE},
        crop_size={"height": TILE, "width": TILE},
        image_grid_pinpoints=GRID,
        **of_kind.normalisation,
    )

    def loss() -> torch.Tensor:
        scenes = [random_scene(rng) for _ in range(16)]
        pixels = processor([scene.draw(rng) for scene in scenes], return_tensors="np")["pixel_values"]
        pixels = torch.from_numpy(np.asarray(pixels, dtype=np.float32)).flatten(0, 1)
        labels = torch.tensor([label for scene in scenes for label in patch_labels(scene)])
        patches = tower(pixels, output_hidden_states=True).hidden_states[FEATURE_LAYER]
        patches = patches[:, of_kind.class_tokens :]
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
