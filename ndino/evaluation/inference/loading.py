"""Loads a LLaVA-NeXT to be asked or scored: on one device, divided among several, or in fewer bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import BitsAndBytesConfig, LlavaNextForConditionalGeneration

from ndino.evaluation.errors import SetupError
from ndino.formats.finite import non_finite_in_model, not_finite
from ndino.formats.model_folder import missing_weights

# Quantised, the tower and the projector would see another image.
WHOLE_PARTS = ("model.vision_tower", "model.multi_modal_projector", "lm_head")


def load_llava_next(
    folder: str,
    device: torch.device,
    *,
    dtype: str = "auto",
    attn_implementation: str | None = None,
    device_map: str | None = None,
    load_in_8bit: bool = False,
    load_in_4bit: bool = False,
) -> LlavaNextForConditionalGeneration:
    """A model ready to answer.

    Args:
        folder: a model in Hugging Face format, or its hub id.
        dtype: ``float32``, ``bfloat16``, ``float16``; ``auto`` is the weights' own.
        attn_implementation: as in transformers.
        device_map: as in transformers; ``auto`` divides a model that one GPU does not hold among all GPUs and
            the machine's memory.
        load_in_8bit, load_in_4bit: the language model's weights in so many bits, by bitsandbytes.

    Raises:
        SetupError: both numbers of bits, or weights are missing or not finite.
        Exception: transformers' readers have errors of their own.
    """
    if load_in_8bit and load_in_4bit:
        raise SetupError(f"{folder}: asked for in 8 bits and in 4 (remedy: load_in_8bit or load_in_4bit)")
    quantised = load_in_8bit or load_in_4bit
    # Its annotation does not know of `output_loading_info`.
    found: Any = LlavaNextForConditionalGeneration.from_pretrained(
        folder,
        dtype=dtype if dtype == "auto" else getattr(torch, dtype),
        attn_implementation=attn_implementation,
        output_loading_info=True,
        ignore_mismatched_sizes=True,
        # Quantised weights cannot be moved after they are loaded.
        device_map=device_map or ({"": device} if quantised else None),
        quantization_config=_in_bits(load_in_8bit, device) if quantised else None,
    )
    model, loading = found
    if missing := missing_weights(loading):
        raise SetupError(f"{folder}: {missing} (remedy: save the model again)")
    if not quantised and device_map is None:
        model.to(device)
    if ruined := non_finite_in_model(model, Path(folder)):
        message = not_finite(ruined)
        raise SetupError(message)
    return model.eval()


def _in_bits(eight: bool, device: torch.device) -> BitsAndBytesConfig:
    return BitsAndBytesConfig(
        load_in_8bit=eight,
        load_in_4bit=not eight,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=torch.float32 if device.type == "cpu" else torch.bfloat16,
        llm_int8_skip_modules=list(WHOLE_PARTS),
    )
