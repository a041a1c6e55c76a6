"""How many tokens a language model takes: its positions, and what rope scaling stretches them to.

Positions are rotations, and any number of them can be computed. Beyond those that the model was trained on
its answers are noise, without any error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DEFAULT = 2048  # of a LLaMA whose config.json does not say, in transformers and in upstream's checkpoints
# In config.json max_position_embeddings stays that of the model before it was stretched, unless
# original_max_position_embeddings is there for it.
_STRETCHING = ("linear", "dynamic", "yarn")


def context_of(config: Mapping[str, Any]) -> int:
    """The most tokens that a model takes, image features included.

    Args:
        config: its config.json, of a language model, of upstream's checkpoint, or of a LLaVA-NeXT in Hugging
            Face format.
    """
    text = config.get("text_config")
    settings = text if isinstance(text, Mapping) else config
    positions = _number(settings, "max_position_embeddings") or _default(settings.get("model_type"))
    # transformers 4 has rope_scaling, where it is null without scaling; 5 has rope_parameters.
    rope = settings.get("rope_parameters") or settings.get("rope_scaling")
    if not isinstance(rope, Mapping) or rope.get("rope_type", rope.get("type")) not in _STRETCHING:
        return int(positions)
    factor = _number(rope, "factor") or 1.0
    if original := _number(rope, "original_max_position_embeddings"):
        return int(max(positions, factor * original))
    return int(factor * positions)


def _default(kind: Any) -> float:
    """The positions of a model of this type whose config.json leaves them out: what transformers has then."""
    from transformers import CONFIG_MAPPING

    known = CONFIG_MAPPING[kind]() if isinstance(kind, str) and kind in CONFIG_MAPPING else None
    return getattr(known, "max_position_embeddings", None) or DEFAULT


def _number(settings: Mapping[str, Any], name: str) -> float | None:
    value = settings.get(name)
    return value if isinstance(value, (int, float)) and value > 0 else None
