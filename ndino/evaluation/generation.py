"""A task's generation settings as transformers takes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def generation_options(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of ``generate`` for lmms-eval's ``generation_kwargs``; a temperature of 0 is greedy."""
    sample = settings.get("temperature", 0) > 0
    return {
        "do_sample": sample,
        "temperature": settings["temperature"] if sample else None,
        "top_p": settings.get("top_p") if sample else None,
        "num_beams": settings.get("num_beams", 1),
        "max_new_tokens": settings.get("max_new_tokens", 1024),
    }
