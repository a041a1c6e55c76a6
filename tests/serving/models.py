"""A random LLaVA-NeXT whose sizes fit every type of GGUF, with what the tiny one has not."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    PreTrainedTokenizerFast,
    Qwen3Config,
)
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil

from fixtures.tiny import CORPUS, byte_level_bpe
from ndino.formats import model_folder
from ndino.formats.prompts import BEGIN_OF_TEXT, END_OF_TURN, IMAGE_TOKEN, MARKERS

SIDE, PATCH = 56, 14
# LLaMA 3's regular expression for splitting text.
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
GRIDS = [[56, 112], [112, 56], [112, 112], [56, 168], [168, 56]]  # height and width
# Smaller than a tile, a tile, and every grid, exactly and with padding.
SIZES = [
    (28, 28),
    (56, 56),
    (64, 56),
    (112, 112),
    (112, 56),
    (56, 112),
    (168, 112),
    (142, 66),
    (224, 60),
    (46, 224),
]
LLAMA31 = dict(
    rope_type="llama3",
    rope_theta=500000.0,
    factor=8.0,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
    original_max_position_embeddings=64,
)


def llama_tokenizer(pattern: str = PATTERN) -> PreTrainedTokenizerFast:
    """A small tokenizer that splits text as LLaMA 3's does, with ``<image>`` and a pad token."""
    special = [*MARKERS, IMAGE_TOKEN, model_folder.PAD_TOKEN]
    made: Tokenizer = byte_level_bpe(CORPUS * 3, 500, special)
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        bos_token=BEGIN_OF_TEXT,
        eos_token=END_OF_TURN,
        pad_token=model_folder.PAD_TOKEN,
        additional_special_tokens=[IMAGE_TOKEN],
    )


def qwen_tokenizer() -> PreTrainedTokenizerFast:
    """One that splits text as Qwen's does, each digit alone, and composes letters and accents."""
    made = llama_tokenizer(PATTERN.replace("{1,3}", ""))
    made.backend_tokenizer.normalizer = normalizers.NFC()
    return made


def write_model(
    folder: Path,
    tokenizer: PreTrainedTokenizerFast,
    *,
    width: int = 256,
    dtype: torch.dtype = torch.bfloat16,
    text_kind: type = LlamaConfig,
    tower_kind: type = CLIPVisionConfig,
) -> Path:
    """Write a model with grouped queries; a LLaMA has LLaMA 3.1's rotary embedding.

    The weights are seeded.
    """
    rope = LLAMA31 if text_kind is LlamaConfig else {"rope_type": "default", "rope_theta": 1e6}
    text = text_kind(
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=model_folder.padded_vocabulary(len(tokenizer)),
        max_position_embeddings=2048,
        rms_norm_eps=1e-5,
        rope_parameters=rope,
        # A small Qwen has no output matrix of its own, and Qwen 3 has heads of a size of their own.
        tie_word_embeddings=text_kind is not LlamaConfig,
        **({"head_dim": 32} if text_kind is Qwen3Config else {}),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        initializer_range=width**-0.5,
    )
    tower = tower_kind(
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=3,
        num_attention_heads=4,
        image_size=SIDE,
        patch_size=PATCH,
    )
    config = LlavaNextConfig(
        vision_config=tower,
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE_TOKEN),
        image_grid_pinpoints=GRIDS,
        vision_feature_layer=-2,
        vision_feature_select_strategy="default" if tower_kind is CLIPVisionConfig else "full",
        tie_word_embeddings=text.tie_word_embeddings,
    )
    torch.manual_seed(0)
    model = LlavaNextForConditionalGeneration(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            # With transformers' own the tower's positions would hardly count, and the image not at all.
            if "vision_tower" in name:
                weight += 0.1 * torch.randn_like(weight)
            elif "projector" in name and name.endswith("weight"):
                torch.nn.init.normal_(weight, std=weight.shape[1] ** -0.5)
    model.generation_config = model_folder.set_end_of_answer(tokenizer, "llama3")
    images = LlavaNextImageProcessorPil(
        size={"shortest_edge": SIDE},
        crop_size={"height": SIDE, "width": SIDE},
        image_grid_pinpoints=GRIDS,
        image_mean=[0.5, 0.4, 0.3],
        image_std=[0.2, 0.25, 0.3],
    )
    model.to(dtype).save_pretrained(folder)
    class_token = tower_kind is CLIPVisionConfig
    processor = model_folder.build_processor(tokenizer, images, patch_size=PATCH, class_token=class_token)
    processor.save_pretrained(folder)
    model_folder.make_portable(folder)
    return folder
