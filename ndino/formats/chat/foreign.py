"""A question to somebody else's model, in the chat template that it came with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from ndino.common.transformers_types import special_tokens
from ndino.formats.chat.published import thinking_off
from ndino.formats.prompts import (
    IGNORE_INDEX,
    IMAGE_TOKEN,
    Encoded,
    PromptError,
    control_tokens,
    refuse_markers,
    token_ids,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def encode_templated(
    tokenizer: PreTrainedTokenizerBase, template: str, question: str, answer: str
) -> Encoded:
    """Ids and labels of a question about one image and its answer, in a foreign model's chat template.

    The answer and the end-of-sequence token that closes it are supervised.

    Raises:
        PromptError: the template fails, its result does not contain exactly one ``<image>``, or a text
            contains a control token.
    """
    from jinja2 import TemplateError

    for text in (question, answer):
        refuse_markers(text, control_tokens(tokenizer))

    content = [{"type": "image"}, {"type": "text", "text": question}]
    conversation: list[dict[str, Any]] = [{"role": "user", "content": content}]
    try:
        # The annotation says what other arguments give, token ids among them.
        prompt = cast(
            "str",
            tokenizer.apply_chat_template(
                conversation,
                chat_template=template,
                tokenize=False,
                add_generation_prompt=True,
                **thinking_off(template),
            ),
        )
    except (TemplateError, TypeError, ValueError) as error:
        raise PromptError(f"the chat template fails: {error}") from error
    if (images := prompt.count(IMAGE_TOKEN)) != 1:
        raise PromptError(f"{images} {IMAGE_TOKEN} in the text but 1 image(s)")
    # Some templates write BOS themselves, others leave it to the tokenizer; one BOS in either case.
    begin = special_tokens(tokenizer).bos_token
    begins = bool(begin) and prompt.startswith(begin)
    prompt_ids = tokenizer(prompt, add_special_tokens=not begins)["input_ids"]
    answer_ids = token_ids(tokenizer, answer + (special_tokens(tokenizer).eos_token or ""))
    labels = [IGNORE_INDEX] * len(prompt_ids) + answer_ids
    return Encoded(prompt_ids + answer_ids, labels, len(prompt_ids))
