"""Whether prompts share a prefix: the one place that decides, for answers, letters and perplexity.

Prompts about the same images begin alike, and most of what they have in common is image tokens. Where they
share a prefix, that beginning goes through the model once and its KV cache serves all of them
(`prefix_cache.py`). They do when

1. the model allows it: its attention takes a 4D mask (sdpa or eager), and every layer attends to all
   earlier tokens, which rules out sliding windows;
2. decoding is plain greedy: no sampling, no beams, and no setting of the model that changes the choice of a
   token, such as a repetition penalty (perplexity and letters decode nothing: this does not apply to them);
3. every prompt has two tokens or more and does not end with an image token, so that the images lie in the
   prefix and each suffix has a token of its own;
4. they have the same images and the same tokens up to the last image: `prefix_key`.

`PrefixSharing.blocker` answers 1 to 3 and says why not. Prompts that do not share are read in ordinary padded
batches. How many suffixes are packed behind one prefix is a matter of memory: ``PACKED_TOKENS`` in
`batches.py` and in `perplexity/scorer.py`. A single answer that is scored by itself has nothing to share, so
perplexity reads it in an ordinary batch.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transformers import DynamicCache, GenerationConfig, LlavaNextForConditionalGeneration
from transformers.cache_utils import DynamicLayer

from ndino.evaluation.inference.generation import is_greedy

Ids = Sequence[int]

# A model's generation settings that leave its greedy choice alone. Any other changes which token wins.
HARMLESS = {
    *("bos_token_id", "eos_token_id", "pad_token_id", "transformers_version", "_from_model_config"),
    *("do_sample", "temperature", "top_p", "top_k", "min_p", "typical_p", "max_length", "max_new_tokens"),
    *("num_beams", "use_cache"),
}


@dataclass(frozen=True)
class PrefixSharing:
    """What one model allows.

    Attributes:
        model_blocker: why this model can never share prefixes; None when it can.
        special_settings: its generation settings that change the greedy choice.
        image_token_id: the id of ``<image>``.
    """

    model_blocker: str | None
    special_settings: tuple[str, ...]
    image_token_id: int

    @classmethod
    def of(cls, model: LlavaNextForConditionalGeneration) -> PrefixSharing:
        """Read a loaded model's configuration."""
        return cls(
            _model_blocker(model),
            special_settings(model.generation_config),
            model.config.image_token_id,
        )

    def blocker(self, prompts: Sequence[Ids], settings: Mapping[str, Any] | None = None) -> str | None:
        """Why these prompts cannot share a prefix; None when they can.

        Args:
            prompts: token ids with one ``<image>`` for each image. Which of them share is `prefix_key`'s
                decision.
            settings: lmms-eval's ``generation_kwargs``; None where nothing is decoded.
        """
        if self.model_blocker:
            return self.model_blocker
        if settings is not None and not is_greedy(settings):
            return "decoding is not greedy"
        if settings is not None and self.special_settings:
            return f"the model's generation settings change its choice: {', '.join(self.special_settings)}"
        if any(len(ids) < 2 or ids[-1] == self.image_token_id for ids in prompts):
            return "a prompt has no text after its beginning"
        return None


def prefix_key(ids: Ids, images: Sequence[str], image_token_id: int) -> Hashable | None:
    """What prompts that share a prefix have in common; None for a prompt without images, which shares none.

    Args:
        ids: token ids with one ``<image>`` for each image.
        images: the images' digests, in order.
    """
    if not images:
        return None
    last = max((place for place, token in enumerate(ids) if token == image_token_id), default=-1)
    return tuple(images), tuple(ids[: last + 1])


def common_length(prompts: Sequence[Ids], own: Sequence[int] | None = None) -> int:
    """Number of tokens with which all prompts begin.

    Args:
        own: how many tokens at the end of each prompt stay out of the prefix, whatever they have in common;
            by default one, since the model predicts the next token from a suffix.
    """
    own = own or [1] * len(prompts)
    longest = min(len(ids) - kept for ids, kept in zip(prompts, own, strict=True))
    # All sequences between the smallest and the largest share what these two share.
    first, last = min(map(tuple, prompts)), max(map(tuple, prompts))
    return next((place for place in range(longest) if first[place] != last[place]), longest)


def special_settings(config: GenerationConfig) -> tuple[str, ...]:
    """Generation settings that ask for more than the likeliest token, such as a repetition penalty."""
    return tuple(sorted(set(config.to_diff_dict()) - HARMLESS))


def _model_blocker(model: LlavaNextForConditionalGeneration) -> str | None:
    text_config = model.config.get_text_config()
    implementation = text_config._attn_implementation
    if implementation not in ("sdpa", "eager"):
        return f"attention implementation {implementation} takes no 4D mask"
    layers = DynamicCache(config=text_config).layers
    if any(type(layer) is not DynamicLayer for layer in layers):
        return "not every layer attends to all earlier tokens"
    return None
