"""What a config.json describes, by transformers' own tables of model types; no weights are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LANGUAGE_MODEL, TOWER = "language model", "vision tower"
ENCODER_DECODER, VISION_LANGUAGE, NO_CAUSAL = "encoder-decoder", "vision-language", "no causal language model"


def backbone_kind(config: Mapping[str, Any]) -> str | None:
    """Which kind of backbone this is, or of model that is none; None where transformers knows nothing of it.

    ``TOWER`` is also what joins a text and a vision encoder, such as CLIP or SigLIP: its vision part is used.
    """
    # Late: they load PyTorch, which commands that name no backbone need not wait for.
    from transformers import CONFIG_MAPPING
    from transformers.models.auto import modeling_auto as tables

    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING:
        return None
    if kind in tables.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        return VISION_LANGUAGE
    if kind in tables.MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING_NAMES:
        return TOWER
    if CONFIG_MAPPING[kind].base_config_key == "vision_config":
        return TOWER
    if config.get("is_encoder_decoder") or kind in tables.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES:
        return ENCODER_DECODER
    # BERT and the like have a causal class as well; what they were saved as tells.
    causal = tables.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(kind)
    saved_as = config.get("architectures")
    other = isinstance(saved_as, list) and saved_as and causal not in saved_as
    return NO_CAUSAL if causal is None or other else LANGUAGE_MODEL


def vision_part(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The settings of the tower, where a text encoder is beside it in config.json, or else all of them."""
    part = config.get("vision_config")
    return part if isinstance(part, Mapping) else config
