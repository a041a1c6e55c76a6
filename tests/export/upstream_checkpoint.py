"""Checkpoints as the original LLaVA-NeXT code writes them: random weights, upstream's names and settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import CLIPVisionConfig, CLIPVisionModel, LlamaConfig, LlamaForCausalLM

from ndino.formats.prompts import END_OF_TEXT, MARKERS
from tests.tiny import tiny_tokenizer

SIDE, PATCH = 56, 28
# Upstream's order, (width, height); not symmetric, so that a forgotten swap shows.
PINPOINTS = [[56, 112], [112, 56], [112, 112], [168, 56]]
VOCABULARY = 400  # all of the tiny tokenizer's, as with LLaMA 3: new tokens lie beyond; no multiple of 64
HIDDEN = 32
# Rope settings as LLaMA 3.1 states them.
LLAMA31 = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 512,
}
TEXT_FIELDS = (
    "attention_bias",
    "attention_dropout",
    "hidden_act",
    "hidden_size",
    "initializer_range",
    "intermediate_size",
    "max_position_embeddings",
    "mlp_bias",
    "num_attention_heads",
    "num_hidden_layers",
    "num_key_value_heads",
    "rms_norm_eps",
    "tie_word_embeddings",
    "vocab_size",
)


def llama(**changes: Any) -> LlamaConfig:
    return LlamaConfig(
        **{
            "hidden_size": HIDDEN,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "vocab_size": VOCABULARY,
            "max_position_embeddings": 2048,
            "rms_norm_eps": 1e-5,
            "rope_theta": 500000.0,
            "tie_word_embeddings": False,
            # Transformers' 0.02 makes so small a model blind: images would not move a logit.
            "initializer_range": 0.3,
            **changes,
        }
    )


def clip() -> CLIPVisionConfig:
    return CLIPVisionConfig(
        hidden_size=24,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=2,
        image_size=SIDE,
        patch_size=PATCH,
        projection_dim=16,
        hidden_act="gelu",  # not CLIP's default, so that it must be read
    )


def write_tower(folder: Path) -> Path:
    """A CLIP folder with settings of its own, in the form of older releases (sizes as plain numbers)."""
    torch.manual_seed(1)
    CLIPVisionModel(clip()).save_pretrained(folder)
    preprocessing = {
        "image_processor_type": "CLIPImageProcessor",
        "feature_extractor_type": "CLIPFeatureExtractor",
        "crop_size": SIDE,
        "size": SIDE,
        "do_center_crop": True,
        "do_normalize": True,
        "do_resize": True,
        "resample": 3,
        "image_mean": [0.5, 0.4, 0.3],
        "image_std": [0.2, 0.25, 0.3],
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessing))
    return folder


def upstream_weights(text: LlamaConfig, *, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    """Random weights under upstream's names."""
    torch.manual_seed(0)
    weights = dict(LlamaForCausalLM(text).state_dict())
    tower = CLIPVisionModel(clip()).state_dict()
    for name, value in tower.items():
        name = f"vision_model.{name.removeprefix('vision_model.')}"
        weights[f"model.vision_tower.vision_tower.{name}"] = value + 0.1 * torch.randn_like(value)
    for number, width in ((0, clip().hidden_size), (2, text.hidden_size)):
        layer = torch.nn.Linear(width, text.hidden_size)
        weights[f"model.mm_projector.{number}.weight"] = layer.weight.detach()
        weights[f"model.mm_projector.{number}.bias"] = layer.bias.detach()
    weights["model.image_newline"] = torch.randn(text.hidden_size)
    return {name: value.detach().to(dtype).contiguous() for name, value in weights.items()}


def upstream_config(text: LlamaConfig, tower: Path | str, dtype: torch.dtype) -> dict[str, Any]:
    """config.json as upstream's trainer leaves it under transformers 4.45."""
    kept = {name: getattr(text, name) for name in TEXT_FIELDS}
    rope = dict(text.rope_parameters)
    theta = rope.pop("rope_theta")
    return {
        "_name_or_path": "somewhere/else",
        "architectures": ["LlavaLlamaForCausalLM"],
        **kept,
        "rope_theta": theta,
        "rope_scaling": None if rope["rope_type"] == "default" else rope,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "image_aspect_ratio": "anyres",
        "image_crop_resolution": None,
        "image_grid_pinpoints": PINPOINTS,
        "mm_hidden_size": clip().hidden_size,
        "mm_patch_merge_type": "spatial_unpad",
        "mm_projector_type": "mlp2x_gelu",
        "mm_resampler_type": None,
        "mm_tunable_parts": "mm_vision_tower,mm_mlp_adapter,mm_language_model",
        "mm_use_im_patch_token": False,
        "mm_use_im_start_end": False,
        "mm_vision_select_feature": "patch",
        "mm_vision_select_layer": -2,
        "mm_vision_tower": str(tower),
        "mm_vision_tower_lr": 2e-06,
        "model_type": "llava_llama",
        "pretraining_tp": 1,
        "tokenizer_model_max_length": 2048,
        "tokenizer_padding_side": "right",
        "torch_dtype": str(dtype).removeprefix("torch."),
        "transformers_version": "4.45.2",
        "use_cache": True,
        "use_mm_proj": True,
        "vision_tower_pretrained": None,
    }


def write_tokenizer(folder: Path) -> None:
    """A base LLaMA 3's: no ``<image>``, no pad token, a BOS before every text."""
    from tokenizers import processors

    tokenizer = tiny_tokenizer(base=True)
    begin = MARKERS[0]
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A",
        pair=f"{begin} $A {begin} $B",
        special_tokens=[(begin, tokenizer.convert_tokens_to_ids(begin))],
    )
    tokenizer.eos_token = END_OF_TEXT
    tokenizer.save_pretrained(folder)


def write_checkpoint(
    folder: Path,
    tower: Path | str,
    *,
    text: LlamaConfig | None = None,
    dtype: torch.dtype = torch.float32,
    suffix: str = "safetensors",
    shards: int = 1,
) -> Path:
    """Write a whole checkpoint to ``folder`` and return it."""
    text = text or llama()
    folder.mkdir(parents=True, exist_ok=True)
    weights = upstream_weights(text, dtype=dtype)
    if text.tie_word_embeddings and suffix == "safetensors":
        weights.pop("lm_head.weight")
    save_weights(folder, weights, suffix=suffix, shards=shards)
    config = upstream_config(text, tower, dtype)
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    write_tokenizer(folder)
    return folder


def save_weights(folder: Path, weights: dict[str, torch.Tensor], *, suffix: str, shards: int) -> None:
    """Write weights as transformers names and divides them."""
    stem = "model" if suffix == "safetensors" else "pytorch_model"
    names, weight_map = list(weights), {}
    for number in range(shards):
        part = {name: weights[name] for name in names[number::shards]}
        file = f"{stem}.{suffix}" if shards == 1 else f"{stem}-{number + 1:05}-of-{shards:05}.{suffix}"
        if suffix == "safetensors":
            save_file(part, folder / file, metadata={"format": "pt"})
        else:
            torch.save(part, folder / file)
        weight_map |= dict.fromkeys(part, file)
    if shards > 1:
        index = {"metadata": {"total_size": 0}, "weight_map": weight_map}
        (folder / f"{stem}.{suffix}.index.json").write_text(json.dumps(index))
