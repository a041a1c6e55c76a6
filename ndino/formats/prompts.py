"""The two prompt formats of the paper as token ids and labels: Listing 1 (plain) and Listing 2 (LLaMA 3).

This is the only place that knows what a prompt looks like and which tokens are supervised. Both engines, the
perplexity and the published chat template take it from here.

Plain, for the mlp and pt stages::

    <|begin_of_text|><image>{text}<|end_of_text|>

LLaMA 3 without system prompt, for the it, long and mix stages::

    <|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n{user}<|eot_id|>
    <|start_header_id|>assistant<|end_header_id|>\n\n{answer}<|eot_id|>

(one line; broken here to fit the page). The behaviour followed is that of ``preprocess_llama3``,
``preprocess_plain`` and ``preprocess_multimodal`` in LLaVA-NeXT's ``llava/train/train.py`` with an empty
system message, as the released training script of the paper used them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Role = Literal["user", "assistant"]
Supervision = Literal["paper", "answer"]
PlainEnding = Literal["end_of_text", "newline"]

IMAGE_TOKEN = "<image>"
IGNORE_INDEX = -100

BEGIN_OF_TEXT = "<|begin_of_text|>"
END_OF_TEXT = "<|end_of_text|>"
START_HEADER = "<|start_header_id|>"
END_HEADER = "<|end_header_id|>"
END_OF_TURN = "<|eot_id|>"
MARKERS = (BEGIN_OF_TEXT, END_OF_TEXT, START_HEADER, END_HEADER, END_OF_TURN)

# The Jinja form of Listing 2 for published models. BOS is part of it, so their tokenizers add none of their
# own: harnesses that render first and tokenise afterwards would otherwise feed two.
LLAMA3_CHAT_TEMPLATE = (
    "{{ '" + BEGIN_OF_TEXT + "' }}"
    "{% for message in messages %}"
    "{{ '" + START_HEADER + "' + message['role'] + '" + END_HEADER + "\\n\\n' }}"
    "{% if message['content'] is string %}{{ message['content'] | trim }}"
    "{% else %}"
    "{% for part in message['content'] if part['type'] == 'image' %}"
    "{{ '" + IMAGE_TOKEN + "\\n' }}{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] | trim }}{% endfor %}"
    "{% endif %}"
    "{{ '" + END_OF_TURN + "' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '" + START_HEADER + "assistant" + END_HEADER + "\\n\\n' }}{% endif %}"
)


class PromptError(ValueError):
    """A conversation that cannot become a training sample; the message says why."""


@dataclass(frozen=True)
class Turn:
    """One message of a conversation, with ``<image>`` where an image stands."""

    role: Role
    text: str


@dataclass(frozen=True)
class Encoded:
    """Token ids and labels of one sample, equally long; a label is ``IGNORE_INDEX`` where nothing is learned.

    Every image is a single ``<image>`` id here; the collator widens it to the image's number of features.
    ``answer_start`` is the position of the first answer's first token.
    """

    input_ids: list[int]
    labels: list[int]
    answer_start: int

    def __post_init__(self) -> None:
        if len(self.input_ids) != len(self.labels):
            raise PromptError(f"{len(self.input_ids)} ids but {len(self.labels)} labels")


def encode_plain(
    tokenizer: PreTrainedTokenizerBase, text: str, *, images: int = 1, ending: PlainEnding = "end_of_text"
) -> Encoded:
    """Encode image(s) followed by their text (Listing 1); the text and its ending are supervised.

    ``ending="newline"`` reproduces the released code, whose plain format closed with ``"\\n"`` (merged into
    the last token where the vocabulary allows) in place of ``<|end_of_text|>``.

    Raises:
        PromptError: empty text, a marker or ``<image>`` inside the text, or an unknown ending.
    """
    if ending not in get_args(PlainEnding):
        raise PromptError(f"unknown plain ending {ending!r}: use one of {', '.join(get_args(PlainEnding))}")
    if not text.strip():
        raise PromptError("empty text")
    _refuse(text, (*MARKERS, IMAGE_TOKEN))
    begin, image = _token_ids(tokenizer, (BEGIN_OF_TEXT, IMAGE_TOKEN))
    prompt = [begin] + [image] * images
    answer = _tokenise(tokenizer, text + (END_OF_TEXT if ending == "end_of_text" else "\n"))
    return Encoded(prompt + answer, [IGNORE_INDEX] * len(prompt) + answer, len(prompt))


def encode_llama3(
    tokenizer: PreTrainedTokenizerBase,
    turns: Sequence[Turn],
    *,
    images: int = 1,
    supervision: Supervision = "paper",
) -> Encoded:
    """Encode a conversation of any number of rounds (Listing 2).

    ``supervision="paper"`` labels what upstream labels: the whole assistant message, its header included, and
    every BOS, header and end-of-turn marker, the user's too. ``"answer"`` labels the answers and the
    ``<|eot_id|>`` that closes each.

    Raises:
        PromptError: no turns, an unknown role, no answer, a marker inside a text, or a number of ``<image>``
            other than ``images``.
    """
    if supervision not in get_args(Supervision):
        raise PromptError(
            f"unknown supervision {supervision!r}: use one of {', '.join(get_args(Supervision))}"
        )
    if not turns:
        raise PromptError("the conversation is empty")
    for turn in turns:
        if turn.role not in get_args(Role):
            raise PromptError(f"unknown role {turn.role!r}: use one of {', '.join(get_args(Role))}")
        _refuse(turn.text, MARKERS)
    if all(turn.role == "user" for turn in turns):
        raise PromptError("the conversation has no answer")
    found = sum(turn.text.count(IMAGE_TOKEN) for turn in turns)
    if found != images:
        raise PromptError(f"{found} {IMAGE_TOKEN} in the text but {images} image(s)")

    begin, start, end, end_of_turn = _token_ids(
        tokenizer, (BEGIN_OF_TEXT, START_HEADER, END_HEADER, END_OF_TURN)
    )
    header = _tokenise(tokenizer, _header("assistant"))
    input_ids, labels, answer_starts = [begin], [IGNORE_INDEX], []
    for turn in turns:
        message = _tokenise(tokenizer, _header(turn.role) + place_image(turn.text).strip() + END_OF_TURN)
        if turn.role == "user":
            labels += [IGNORE_INDEX] * len(message)
        else:
            prefix = _shared_prefix(message, header)
            answer_starts.append(len(input_ids) + prefix)
            labels += message if supervision == "paper" else [IGNORE_INDEX] * prefix + message[prefix:]
        input_ids += message
    if supervision == "paper":
        markers = {begin, start, end, end_of_turn}
        labels = [
            token if token in markers else label for token, label in zip(input_ids, labels, strict=True)
        ]
    return Encoded(input_ids, labels, answer_starts[0])


def has_llama3_markers(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether Listing 2 can be written with this tokenizer."""
    known = tokenizer.get_vocab()
    return all(marker in known for marker in MARKERS)


def encode_templated(
    tokenizer: PreTrainedTokenizerBase, template: str, question: str, answer: str
) -> Encoded:
    """Encode a question about one image, and its answer, with a chat template that is not ours.

    The prompt is what the template makes of the question; the answer and the end-of-sequence token that
    closes it are supervised.

    Raises:
        PromptError: the template fails, or leaves not exactly one ``<image>``.
    """
    from jinja2 import TemplateError

    content = [{"type": "image"}, {"type": "text", "text": question}]
    try:
        prompt = tokenizer.apply_chat_template(
            [{"role": "user", "content": content}],
            chat_template=template,
            tokenize=False,
            add_generation_prompt=True,
        )
    except (TemplateError, TypeError, ValueError) as error:
        raise PromptError(f"the chat template fails: {error}") from error
    if (found := prompt.count(IMAGE_TOKEN)) != 1:
        raise PromptError(f"{found} {IMAGE_TOKEN} in the text but 1 image(s)")
    begins = bool(tokenizer.bos_token) and prompt.startswith(tokenizer.bos_token)
    prompt_ids = tokenizer(prompt, add_special_tokens=not begins)["input_ids"]
    answer_ids = _tokenise(tokenizer, answer + (tokenizer.eos_token or ""))
    labels = [IGNORE_INDEX] * len(prompt_ids) + answer_ids
    return Encoded(prompt_ids + answer_ids, labels, len(prompt_ids))


def truncate(encoded: Encoded, max_length: int) -> Encoded:
    """Keep the first ``max_length`` tokens, as upstream's collator does.

    Raises:
        PromptError: no token of an answer is left, so the sample could teach nothing.
    """
    if len(encoded.input_ids) <= max_length:
        return encoded
    if encoded.answer_start >= max_length:
        raise PromptError(
            f"no supervised token is left after truncation to {max_length} tokens: "
            f"the answer starts at token {encoded.answer_start + 1} of {len(encoded.input_ids)}"
        )
    return Encoded(encoded.input_ids[:max_length], encoded.labels[:max_length], encoded.answer_start)


def place_image(text: str) -> str:
    """Move a turn's only ``<image>`` to its front, followed by a newline; several stay where they are.

    Source: ``preprocess_multimodal`` in upstream's ``llava/train/train.py``.
    """
    if text.count(IMAGE_TOKEN) != 1 or text.startswith(IMAGE_TOKEN):
        return text
    return f"{IMAGE_TOKEN}\n{text.replace(IMAGE_TOKEN, '').strip()}".strip()


def _header(role: Role) -> str:
    return f"{START_HEADER}{role}{END_HEADER}\n\n"


def _tokenise(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def _token_ids(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[str]) -> list[int]:
    ids = tokenizer.convert_tokens_to_ids(list(tokens))
    for token, token_id in zip(tokens, ids, strict=True):
        if token_id is None or token_id == tokenizer.unk_token_id:
            raise PromptError(f"the tokenizer has no token {token}: start from a LLaMA 3 tokenizer")
    return ids


def _refuse(text: str, markers: Sequence[str]) -> None:
    for marker in markers:
        if marker in text:
            raise PromptError(f"the text contains the marker {marker}")


def _shared_prefix(message: Sequence[int], header: Sequence[int]) -> int:
    # A vocabulary may merge the header's newlines with what follows; that token then belongs to the answer.
    length = 0
    while length < len(header) and message[length] == header[length]:
        length += 1
    return length
