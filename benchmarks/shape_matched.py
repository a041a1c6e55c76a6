"""Build a random LLaVA-NeXT with the proportions of the 8B model, for timings on a CPU.

Ratios of run times depend on these proportions: in the 8B model the output layer is 7 to 8 % of the language
model's body, the vision tower 4 to 5 %, and a prompt is 0.6 times as long as the hidden state is wide. The
small tokenizer and vision tower are shared by the benchmarks; each chooses its own language model and image
size.
"""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import CLIPVisionConfig, LlamaConfig, LlavaNextConfig, LlavaNextForConditionalGeneration
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil

from fixtures.tiny import tiny_tokenizer
from ndino.common.transformers_types import token_id, vision_sizes
from ndino.formats import model_folder
from ndino.formats.prompts import IMAGE_TOKEN

PATCH = 14
TOWER_HIDDEN = 192


def llama_config(*, vocabulary: int, hidden: int, layers: int) -> LlamaConfig:
    """A language model with heads of 64 and a key and value for each, for `build_model`."""
    return LlamaConfig(
        hidden_size=hidden,
        intermediate_size=hidden * 27 // 10,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 64,
        num_key_value_heads=hidden // 64,
        vocab_size=vocabulary,
        max_position_embeddings=4096,
        tie_word_embeddings=False,
    )


def build_model(
    text: LlamaConfig,
    *,
    side: int,
    pinpoints: list[list[int]],
    tower_layers: int,
    tower_heads: int,
    seed: int = 0,
) -> LlavaNextForConditionalGeneration:
    """Build the model with random weights.

    Args:
        text: the language model; its BOS, EOS and pad ids are set to the tokenizer's.
        side: side of a tile, the vision tower's input, in pixels.
        pinpoints: (height, width) resolutions that an image can be resized to.
        seed: of the weights.
    """
    tokenizer = tiny_tokenizer()
    for name in ("pad", "bos", "eos"):
        setattr(text, f"{name}_token_id", getattr(tokenizer, f"{name}_token_id"))
    vision = CLIPVisionConfig(
        hidden_size=TOWER_HIDDEN,
        intermediate_size=4 * TOWER_HIDDEN,
        num_hidden_layers=tower_layers,
        num_attention_heads=tower_heads,
        image_size=side,
        patch_size=PATCH,
        projection_dim=TOWER_HIDDEN,
    )
    config = LlavaNextConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=token_id(tokenizer, IMAGE_TOKEN),
        image_grid_pinpoints=pinpoints,
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        tie_word_embeddings=False,
    )
    torch.manual_seed(seed)
    return LlavaNextForConditionalGeneration(config)


def save_model(model: LlavaNextForConditionalGeneration, folder: Path, *, patch: int = PATCH) -> Path:
    """Write ``model`` with tokenizer and processor to ``folder``, and return ``folder``."""
    side = vision_sizes(model.config.vision_config).image_size
    image_processor = LlavaNextImageProcessorPil(
        size={"shortest_edge": side},
        crop_size={"height": side, "width": side},
        image_grid_pinpoints=model.config.image_grid_pinpoints,
    )
    model.save_pretrained(folder)
    model_folder.build_processor(tiny_tokenizer(), image_processor, patch_size=patch).save_pretrained(folder)
    return folder


def proportions(model: LlavaNextForConditionalGeneration) -> dict[str, float]:
    """Parameters of the output layer (``head``) and ``tower``, relative to the language model's layers."""
    head, body, tower = (
        sum(weight.numel() for weight in part.parameters())
        for part in (model.lm_head, model.model.language_model.layers, model.model.vision_tower)
    )
    return {"head": round(head / body, 3), "tower": round(tower / body, 3)}
