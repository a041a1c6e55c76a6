"""A question as the token ids that a model reads before its answer."""

from __future__ import annotations

from typing import Any

from ndino.formats.prompts import END_OF_TURN, IMAGE_TOKEN, LLAMA3_CHAT_TEMPLATE, START_HEADER


def chat_template(tokenizer: Any) -> str | None:
    """The tokenizer's chat template, or LLaMA 3's where it has that one's markers; else None."""
    known = tokenizer.get_vocab()
    llama3 = START_HEADER in known and END_OF_TURN in known
    return tokenizer.chat_template or (LLAMA3_CHAT_TEMPLATE if llama3 else None)


def prompt_ids(tokenizer: Any, template: str, question: str, images: int) -> list[int]:
    """The ids of a user's message and of what begins the answer; an image is one ``<image>`` id.

    Args:
        question: may say where its images go; otherwise they come first.

    Raises:
        ValueError: it has more or fewer ``<image>`` than ``images``.
    """
    if IMAGE_TOKEN not in question and images:
        question = " ".join([IMAGE_TOKEN] * images) + "\n" + question
    if (found := question.count(IMAGE_TOKEN)) != images:
        raise ValueError(f"{found} {IMAGE_TOKEN} for {images} images")
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": question}],
        chat_template=template,
        tokenize=False,
        add_generation_prompt=True,
    )
    bos = tokenizer.bos_token
    return tokenizer(text, add_special_tokens=not (bos and text.startswith(bos)))["input_ids"]
