"""LLaVA-NeXT's two preprocessing functions, answered by ``ndino.formats.prompts``.

No system prompt, no copy of the tokenizer for every sample, and Listing 1 as the paper prints it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from llava import conversation
from llava.constants import IMAGE_TOKEN_INDEX
from transformers import PreTrainedTokenizerBase

from ndino.formats.llava_json import ROLES
from ndino.formats.prompts import (
    IMAGE_TOKEN,
    Encoded,
    PlainEnding,
    Supervision,
    Turn,
    encode_llama3,
    encode_plain,
)

Source = Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class PromptSettings:
    """What a recipe leaves open in the two prompts. Carried by the tokenizer, which upstream hands around."""

    supervision: Supervision = "paper"
    plain_ending: PlainEnding = "end_of_text"


def settings_of(tokenizer: PreTrainedTokenizerBase) -> PromptSettings:
    """The settings that ``vocabulary.prepare_vocabulary`` attached, or the defaults."""
    return getattr(tokenizer, "ndino_prompt_settings", PromptSettings())


def encode_source(source: Source, tokenizer: PreTrainedTokenizerBase) -> Encoded:
    """One conversation in the prompt that ``--version`` chose; an image is one ``<image>`` id.

    Raises:
        PromptError: the conversation cannot become a sample.
    """
    if conversation.default_conversation.sep_style == conversation.SeparatorStyle.PLAIN:
        return _encode_plain(source, tokenizer)
    return _encode_llama3(source, tokenizer)


def preprocess_llama3(
    sources: Sequence[Source], tokenizer: PreTrainedTokenizerBase, has_image: bool = False
) -> dict[str, torch.Tensor]:
    """Upstream's function of this name: int64 ``(1, tokens)`` ids, ``<image>`` as -200, and labels."""
    return _tensors([_encode_llama3(source, tokenizer) for source in sources], tokenizer)


def preprocess_plain(
    sources: Sequence[Source], tokenizer: PreTrainedTokenizerBase
) -> dict[str, torch.Tensor]:
    """Upstream's function of this name, as `preprocess_llama3`."""
    return _tensors([_encode_plain(source, tokenizer) for source in sources], tokenizer)


def _encode_llama3(source: Source, tokenizer: PreTrainedTokenizerBase) -> Encoded:
    turns = [Turn(ROLES[message["from"]], message["value"]) for message in source]
    images = sum(turn.text.count(IMAGE_TOKEN) for turn in turns)
    supervision = settings_of(tokenizer).supervision
    return encode_llama3(tokenizer, turns, images=images, supervision=supervision)


def _encode_plain(source: Source, tokenizer: PreTrainedTokenizerBase) -> Encoded:
    question, answer = source
    images = question["value"].count(IMAGE_TOKEN)
    return encode_plain(tokenizer, answer["value"], images=images, ending=settings_of(tokenizer).plain_ending)


def _tensors(samples: Sequence[Encoded], tokenizer: PreTrainedTokenizerBase) -> dict[str, torch.Tensor]:
    image = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
    ids = [[IMAGE_TOKEN_INDEX if token == image else token for token in one.input_ids] for one in samples]
    return {"input_ids": torch.tensor(ids), "labels": torch.tensor([one.labels for one in samples])}
