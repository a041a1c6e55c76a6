"""A task's generation settings in the form that transformers takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ndino.common.endpoint.thoughts import without_thought

# lmms-eval fills this in for tasks that state no `until`. Its own llava_hf ignores it; obeyed, it would cut
# every long answer after the first paragraph.
FILLED_IN = ["\n\n"]


def generation_options(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of ``generate`` for lmms-eval's ``generation_kwargs``; a temperature of 0 means greedy."""
    sample = (settings.get("temperature") or 0) > 0
    return {
        "do_sample": sample,
        "temperature": settings["temperature"] if sample else None,
        "top_p": settings.get("top_p") if sample else None,
        "num_beams": settings.get("num_beams", 1),
        "max_new_tokens": settings.get("max_new_tokens", 1024),
    }


def is_greedy(settings: Mapping[str, Any]) -> bool:
    """Whether every token is the likeliest one, with neither sampling nor beams."""
    options = generation_options(settings)
    return not options["do_sample"] and options["num_beams"] == 1


def stop_ids(model: Any, tokenizer: Any) -> list[int]:
    """The tokens that end an answer: the model's and the tokenizer's, in order."""
    stated = model.generation_config.eos_token_id
    stated = stated if isinstance(stated, list) else [stated]
    return sorted({i for i in (*stated, tokenizer.eos_token_id) if i is not None})


def ends_of(settings: Mapping[str, Any]) -> list[str]:
    """The texts before which an answer ends, from a task's ``until``."""
    until = settings.get("until") or []
    until = [until] if isinstance(until, str) else list(until)
    return [] if until == FILLED_IN else [end for end in until if end]


def cut(answer: str, ends: Sequence[str]) -> str:
    """The answer without its thought, before the first of ``ends``; empty where the thought has no end."""
    answer = without_thought(answer) or ""
    return answer[: min((place for end in ends if (place := answer.find(end)) >= 0), default=len(answer))]
