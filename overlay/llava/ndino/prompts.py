"""Replaces LLaVA-NeXT's two preprocessing functions by ``ndino.formats.prompts``.

No system prompt, the plain format as in Listing 1 of the paper, and no copy of the tokenizer for each sample.
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
    """A recipe's prompt options. They travel on the tokenizer, the only object upstream passes that far."""

    supervision: Supervision = "paper"
    plain_ending: PlainEnding = "end_of_text"


def settings_of(tokenizer: PreTrainedTokenizerBase) -> PromptSettings:
    """The settings that ``vocabulary.prepare_vocabulary`` attached to the tokenizer, or the defaults."""
    return getattr(tokenizer, "ndino_prompt_settings", PromptSettings())


def encode_source(source: Source, tokenizer: PreTrainedTokenizerBase) -> Encoded:
    """Encode a conversation in the format chosen by ``--version``; an image is one ``<image>`` id.

    Raises:
        PromptError: the conversation cannot become a sample.
    """
    if conversation.default_conversation.sep_style == conversation.SeparatorStyle.PLAIN:
        return _encode_plain(source, tokenizer)
    return _encode_llama3(source, tokenizer)


def preprocess_llama3(
    sources: Sequence[Source], tokenizer: PreTrainedTokenizerBase, has_image: bool = False
) -> dict[str, torch.Tensor]:
    """Replaces upstream's function: int64 ``(1, tokens)`` ids, with ``<image>`` as -200, and labels."""
    return _tensors([_encode_llama3(source, tokenizer) for source in sources], tokenizer)


def preprocess_plain(
    sources: Sequence[Source], tokenizer: PreTrainedTokenizerBase
) -> dict[str, torch.Tensor]:
    """Replaces upstream's function; the result is as of `preprocess_llama3`."""
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
