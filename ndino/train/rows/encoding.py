"""A row of LLaVA JSON as the stage learns it: ids and labels, cut to the length limit, and its counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from transformers import LlavaNextProcessor

from ndino.common.errors import with_remedy
from ndino.common.transformers_types import token_id
from ndino.formats.chat.prompt import ChatPrompt
from ndino.formats.llava_json import Conversation
from ndino.formats.prompts import (
    IGNORE_INDEX,
    IMAGE_TOKEN,
    Encoded,
    PromptError,
    encode_llama3,
    encode_plain,
    truncate,
)
from ndino.formats.recipes import Recipe
from ndino.train.images import anyres_tokens, square_tokens

TOO_LONG = "raise max_length in the recipe, or shorten the row"


@dataclass(frozen=True)
class EncodedRow:
    """A usable row.

    Attributes:
        row: its number in the data file, from 1.
        images: image names as written in the row.
        sizes: (height, width) of each image in pixels.
        input_ids: an image is one ``<image>`` id; int32 where the row comes from an index.
        labels: a token's own id where it is supervised, else ``IGNORE_INDEX``.
        image_tokens: features kept of each image whose id is in ``input_ids``. The length limit can cut the
            last of them short and leave images out.
        length: tokens of the sample, with each image counted as its kept features.
        supervised: labels that the loss uses.
    """

    row: int
    images: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]
    input_ids: Sequence[int] | np.ndarray
    labels: Sequence[int] | np.ndarray
    image_tokens: tuple[int, ...]
    length: int
    supervised: int


def encode(conversation: Conversation, tokenizer, recipe: Recipe) -> Encoded:
    """Encode a conversation in the recipe's prompt format; whole, whatever the length limit.

    Raises:
        PromptError: the conversation cannot become a sample.
    """
    images = len(conversation.images)
    if recipe.prompt == "chat":
        # The template of the recipe, which `chat_prompt` gave the tokenizer.
        prompt = ChatPrompt(tokenizer, tokenizer.chat_template)
        return prompt.encode(conversation.turns, images=images)
    if recipe.prompt == "llama3":
        return encode_llama3(tokenizer, conversation.turns, images=images, supervision=recipe.supervision)
    if [turn.role for turn in conversation.turns] != ["user", "assistant"]:
        raise PromptError(
            "the plain prompt takes a single question and answer, this conversation has several rounds"
        )
    return encode_plain(tokenizer, conversation.turns[1].text, images=images, ending=recipe.plain_ending)


def feature_counts(
    sizes: Sequence[tuple[int, int]], processor: LlavaNextProcessor, *, divide_all: bool = False
) -> list[int]:
    """Features of a row's images of these (height, width): anyres for a single one, else a tile each.

    With ``divide_all`` anyres for each (`Recipe.divides_all_images`).
    """
    if len(sizes) == 1 or divide_all:
        return [anyres_tokens(*size, processor) for size in sizes]
    return [square_tokens(processor)] * len(sizes)


def cut_row(
    conversation: Conversation,
    encoded: Encoded,
    sizes: Sequence[tuple[int, int]],
    processor: LlavaNextProcessor,
    recipe: Recipe,
) -> EncodedRow:
    """Apply the recipe's ``max_length`` to a row, images counted as the features that they become.

    Raises:
        PromptError: no answer token would be left, or an image is too far back (`truncate`).
    """
    image = token_id(processor.tokenizer, IMAGE_TOKEN)
    counts = feature_counts(sizes, processor, divide_all=recipe.divides_all_images)
    try:
        kept, image_tokens = truncate(encoded, recipe.max_length, image_token_id=image, feature_counts=counts)
    except PromptError as error:
        said = f"{error}, of which {sum(counts):,} are images" if counts else str(error)
        raise PromptError(with_remedy(said, TOO_LONG)) from error
    return EncodedRow(
        row=conversation.row,
        images=conversation.images,
        sizes=tuple(sizes),
        input_ids=kept.input_ids,
        labels=kept.labels,
        image_tokens=tuple(image_tokens),
        length=len(kept.input_ids) - len(image_tokens) + sum(image_tokens),
        # The loss compares position n's logits with label n + 1: the first label is never used.
        supervised=sum(label != IGNORE_INDEX for label in kept.labels[1:]),
    )
