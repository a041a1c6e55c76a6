"""A question as the token ids that a model reads before its answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, cycle
from typing import TYPE_CHECKING, Any

from ndino.formats.chat.published import is_published, thinking_off
from ndino.formats.prompts import END_OF_TURN, IMAGE_TOKEN, LLAMA3_CHAT_TEMPLATE, START_HEADER

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class ChatTemplate:
    """A model's chat template.

    Attributes:
        text: in Jinja.
        of_processor: whether it is the processor's own. Such a template wants a message's parts with their
            types, where a tokenizer's wants a text.
    """

    text: str
    of_processor: bool = False


class ImageTokenCounts:
    """How many tokens an image becomes, by its size; each size is counted once."""

    def __init__(self, processor: Any) -> None:
        self._processor = processor
        self._known: dict[tuple[int, int], int] = {}

    def of(self, size: Sequence[int]) -> int:
        """The number for an image of ``size``, (height, width) in pixels."""
        size = (size[0], size[1])
        if size not in self._known:
            counted = self._processor._get_num_multimodal_tokens(image_sizes=[size])
            self._known[size] = counted["num_image_tokens"][0]
        return self._known[size]


def image_tensors(image_processor: Any, image: Image) -> Any:
    """One image in RGB for the model: ``pixel_values`` (1, tiles, 3, side, side) and ``image_sizes``."""
    # Said because it cannot be seen: of 3 pixels in a row, or 1, transformers takes the rows for channels.
    return image_processor(image, return_tensors="pt", input_data_format="channels_last")


def chat_template(tokenizer: Any, processor: Any = None) -> ChatTemplate | None:
    """The processor's chat template, as for perplexity; else the tokenizer's, which may know no images.

    LLaMA 3's where there is neither and the tokenizer has its markers; else None.
    """
    own = getattr(processor, "chat_template", None)
    if own:
        # Ours make the same of a text and of its parts.
        ours = own == LLAMA3_CHAT_TEMPLATE or is_published(own)
        return ChatTemplate(own, of_processor=not ours)
    if tokenizer.chat_template:
        return ChatTemplate(tokenizer.chat_template)
    known = tokenizer.get_vocab()
    return ChatTemplate(LLAMA3_CHAT_TEMPLATE) if START_HEADER in known and END_OF_TURN in known else None


def prompt_ids(
    tokenizer: Any,
    template: ChatTemplate,
    question: str,
    images: int,
    rounds: Sequence[tuple[str, str]] = (),
) -> list[int]:
    """The ids of a user's message and of what begins the answer; an image is one ``<image>`` id.

    Args:
        question: may say where its images go; otherwise they come first.
        rounds: the questions and answers before it, the first of which has the images.

    Raises:
        ValueError: it has more or fewer ``<image>`` than ``images``, or the template fails.
    """
    return text_ids(tokenizer, prompt_text(tokenizer, template, question, images, rounds))


def text_ids(tokenizer: Any, text: str) -> list[int]:
    """The ids of a prompt's text; where the tokenizer adds a BOS, one in all."""
    bos = tokenizer.bos_token
    return tokenizer(text, add_special_tokens=not (bos and text.startswith(bos)))["input_ids"]


def answer_ids(tokenizer: Any, prompt: str, read: list[int], answer: str) -> list[int]:
    """The ids with which ``answer`` continues those of ``prompt``, both texts.

    They are those that the whole text has behind the prompt's. Where the tokenizer would merge the end of
    one with the beginning of the other, they are those of the answer alone, since a model continues the
    prompt's own ids.

    Args:
        read: the `text_ids` of the prompt.
    """
    whole = text_ids(tokenizer, prompt + answer)
    if whole[: len(read)] == read:
        return whole[len(read) :]
    return tokenizer(answer, add_special_tokens=False)["input_ids"]


def before_answer(tokenizer: Any, template: ChatTemplate) -> str:
    """What a chat template writes between a prompt and the answer to it, such as a space.

    Empty where the template writes a conversation with an answer in another way than its prompt.
    """
    from jinja2 import TemplateError

    prompt = prompt_text(tokenizer, template, "?", 1)
    question, answer = with_images(["?"], 1)[0], "answer"
    for contents in ((question, answer), (message_parts(question), message_parts(answer))):
        roles = ("user", "assistant")
        try:
            whole = tokenizer.apply_chat_template(
                [{"role": role, "content": content} for role, content in zip(roles, contents, strict=True)],
                chat_template=template.text,
                tokenize=False,
                **_thinking(template),
            )
        except (TemplateError, TypeError, ValueError):
            continue
        written, found, _ = whole.removeprefix(prompt).partition(answer)
        if whole.startswith(prompt) and found:
            return written
    return ""


def prompt_text(
    tokenizer: Any,
    template: ChatTemplate,
    question: str,
    images: int,
    rounds: Sequence[tuple[str, str]] = (),
) -> str:
    """The text of `prompt_ids`; raises the same."""
    from jinja2 import TemplateError

    said = with_images([*chain.from_iterable(rounds), question], images)
    parts = [message_parts(text) for text in said]
    # Of the questions: a template may shorten answers, such as by their thoughts.
    texts = [part["text"] for turn in parts[::2] for part in turn if "text" in part]
    reasons = []
    # Without an image nothing would show that a template has printed the list of parts itself.
    for contents in (parts, said) if template.of_processor and images else (said, parts):
        roles = cycle(("user", "assistant"))
        try:
            prompt = tokenizer.apply_chat_template(
                [{"role": role, "content": content} for role, content in zip(roles, contents, strict=False)],
                chat_template=template.text,
                tokenize=False,
                add_generation_prompt=True,
                **_thinking(template),
            )
        except (TemplateError, TypeError, ValueError) as error:
            reasons.append(str(error))
            continue
        # A template made for the other form leaves out the question or its images, without a word.
        if prompt.count(IMAGE_TOKEN) == images and all(text in prompt for text in texts):
            return prompt
    reason = "; ".join(reasons) or "it leaves out the question or its images"
    raise ValueError(f"the model's chat template fails: {reason}")


def _thinking(template: ChatTemplate) -> dict[str, Any]:
    """What a template is told of thinking: not to. One of ours has its recipe's choice."""
    return {} if is_published(template.text) else thinking_off(template.text)


def with_images(said: Sequence[str], images: int) -> list[str]:
    """A conversation's texts with one ``<image>`` for each image: in front, unless a text says where.

    Raises:
        ValueError: they have more or fewer ``<image>`` than ``images``.
    """
    first, *others = said
    if images and not any(IMAGE_TOKEN in text for text in said):
        first = " ".join([IMAGE_TOKEN] * images) + "\n" + first
    placed = [first, *others]
    if (found := sum(text.count(IMAGE_TOKEN) for text in placed)) != images:
        raise ValueError(f"{found} {IMAGE_TOKEN} for {images} images")
    return placed


def message_parts(text: str) -> list[dict[str, str]]:
    """A message's text as its parts, ``image`` at each ``<image>`` and ``text`` between them."""
    parts: list[dict[str, str]] = []
    for place, piece in enumerate(map(str.strip, text.split(IMAGE_TOKEN))):
        parts += [{"type": "image"}] if place else []
        parts += [{"type": "text", "text": piece}] if piece else []
    return parts
