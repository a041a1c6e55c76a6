r"""Prompts and the label mask: how a conversation becomes token ids, and which of them training learns.

Only this module decides either, and `ndino.formats.chat` for a tokenizer's own chat template (``prompt:
chat``). Both training engines, perplexity and the chat template of saved models use it.

Two formats here, after Listings 1 and 2 of the paper. *Plain*, for the stages mlp and pt (`encode_plain`)::

    <|begin_of_text|><image>{text}<|end_of_text|>

with the BOS and EOS of other tokenizers in their place (`plain_markers`).

*LLaMA 3 without a system prompt*, for the stages it, long and mix (`encode_llama3`; one line, broken here)::

    <|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n{user}<|eot_id|>
    <|start_header_id|>assistant<|end_header_id|>\n\n{answer}<|eot_id|>

The label mask is ``Encoded.labels``: a token's own id where training learns to predict that token, -100
(`IGNORE_INDEX`) where it does not. In the plain format the text and its ending are supervised. In the LLaMA
3 format the recipe's field ``supervision`` decides. An example with the real LLaMA 3 tokenizer: the user asks
``<image>\nChe cos'è?``, the answer is ``Un gatto.``::

    input_ids  token                  labels, "paper"  labels, "answer"
       128000  <|begin_of_text|>               128000              -100
       128006  <|start_header_id|>             128006              -100
          882  user                              -100              -100
       128007  <|end_header_id|>               128007              -100
          271  \n\n                              -100              -100
       128256  <image>                           -100              -100
          198  \n                                -100              -100
        27941  Che                               -100              -100
         8119   cos                              -100              -100
            6  '                                 -100              -100
         4558  è                                 -100              -100
           30  ?                                 -100              -100
       128009  <|eot_id|>                      128009              -100
       128006  <|start_header_id|>             128006              -100
        78191  assistant                        78191              -100
       128007  <|end_header_id|>               128007              -100
          271  \n\n                               271              -100
         1844  Un                                1844              1844
          342   g                                 342               342
        17173  atto                             17173             17173
           13  .                                   13                13
       128009  <|eot_id|>                      128009            128009

"paper" is what LLaVA-NeXT's trainer, and so the paper's, supervises: the whole assistant message with its
header, and every marker of the user's message too. It is the default, since results should be comparable.

``<image>`` is one id here. `ndino.formats.image_tokens` repeats it later, once for each feature of its image.

The behaviour follows ``preprocess_llama3``, ``preprocess_plain`` and ``preprocess_multimodal`` in
LLaVA-NeXT's ``llava/train/train.py`` with an empty system message, as in the paper's released training
script; tests/golden/prompts.json records what that script makes of some conversations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, get_args

from ndino.common.errors import UserError
from ndino.common.transformers_types import special_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Role = Literal["user", "assistant"]
PromptFormat = Literal["plain", "llama3", "chat"]
Supervision = Literal["paper", "answer"]
PlainEnding = Literal["end_of_text", "newline"]

IMAGE_TOKEN = "<image>"
IGNORE_INDEX = -100  # the label that PyTorch's cross-entropy skips

BEGIN_OF_TEXT = "<|begin_of_text|>"
END_OF_TEXT = "<|end_of_text|>"
START_HEADER = "<|start_header_id|>"
END_HEADER = "<|end_header_id|>"
END_OF_TURN = "<|eot_id|>"
MARKERS = (BEGIN_OF_TEXT, END_OF_TEXT, START_HEADER, END_HEADER, END_OF_TURN)

# Listing 2 in Jinja, for the models that we save. It contains BOS, so their tokenizers must not add one:
# evaluation harnesses render the template first and tokenise the text afterwards, and would get two.
# Images are placed as in `place_image`: a message's only image goes to its front, several stay where they are
# among the texts, and those in front of all text get a line each.
LLAMA3_CHAT_TEMPLATE = (
    "{{ '" + BEGIN_OF_TEXT + "' }}"
    "{% for message in messages %}"
    "{{ '" + START_HEADER + "' + message['role'] + '" + END_HEADER + "\\n\\n' }}"
    "{% set made = namespace(text='', texts=0) %}"
    "{% if message['content'] is string %}{% set made.text = message['content'] %}"
    "{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}"
    "{% set made.text = made.text + ('" + IMAGE_TOKEN + "' if made.texts else '" + IMAGE_TOKEN + "\\n') %}"
    "{% elif part['type'] == 'text' %}"
    "{% set made.text = made.text + part['text'] %}{% set made.texts = made.texts + 1 %}"
    "{% endif %}"
    "{% endfor %}"
    "{% endif %}"
    "{% set pieces = made.text.split('" + IMAGE_TOKEN + "') %}"
    "{% if pieces | length == 2 and (pieces[0] or message['content'] is not string) %}"
    "{{ ('" + IMAGE_TOKEN + "\\n' + (pieces[0] + pieces[1]) | trim) | trim }}"
    "{% else %}{{ made.text | trim }}{% endif %}"
    "{{ '" + END_OF_TURN + "' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '" + START_HEADER + "assistant" + END_HEADER + "\\n\\n' }}{% endif %}"
)


class PromptError(UserError):
    """A conversation that cannot become a training sample; the message says why."""


@dataclass(frozen=True)
class Turn:
    """One message of a conversation; ``<image>`` marks the place of each of its images."""

    role: Role
    text: str


@dataclass(frozen=True)
class Encoded:
    """Token ids and labels of one sample, in two lists of equal length.

    Attributes:
        input_ids: the prompt and the answers; every image is a single ``<image>`` id.
        labels: the id itself where the token is supervised, else ``IGNORE_INDEX``. Not shifted: the loss
            compares position n's logits with label n + 1.
        answer_start: position of the first token of the first answer.
    """

    input_ids: list[int]
    labels: list[int]
    answer_start: int

    def __post_init__(self) -> None:
        if len(self.input_ids) != len(self.labels):
            raise PromptError(f"{len(self.input_ids)} ids but {len(self.labels)} labels")

    def up_to_the_answer(self) -> Encoded:
        """The sample without what follows its last supervised token: it ends with the answer."""
        last = max(place for place, label in enumerate(self.labels) if label != IGNORE_INDEX)
        return Encoded(self.input_ids[: last + 1], self.labels[: last + 1], self.answer_start)


def encode_plain(
    tokenizer: PreTrainedTokenizerBase, text: str, *, images: int = 1, ending: PlainEnding = "end_of_text"
) -> Encoded:
    """Ids and labels in the plain format (Listing 1): the text and its ending are supervised.

    Args:
        text: what follows the images; not stripped.
        images: how many ``<image>`` to put in front of it.
        ending: ``"newline"`` reproduces the released code, which ended the text with ``"\\n"`` instead of
            ``<|end_of_text|>``. The tokenizer may merge the newline into the last token.

    Raises:
        PromptError: the text is empty or contains a marker, another control token or ``<image>``, or the
            ending is unknown.
    """
    if ending not in get_args(PlainEnding):
        raise PromptError(f"unknown plain ending {ending!r}: use one of {', '.join(get_args(PlainEnding))}")
    if not text.strip():
        raise PromptError("empty text")
    refuse_markers(text, (*MARKERS, *control_tokens(tokenizer), IMAGE_TOKEN))
    begin, end = plain_markers(tokenizer)
    prompt = _marker_ids(tokenizer, ([begin] if begin else []) + [IMAGE_TOKEN] * images)
    answer = token_ids(tokenizer, text + (end if ending == "end_of_text" else "\n"))
    return Encoded(prompt + answer, [IGNORE_INDEX] * len(prompt) + answer, len(prompt))


def plain_markers(tokenizer: PreTrainedTokenizerBase) -> tuple[str | None, str]:
    """What begins and ends the plain format: LLaMA 3's markers, or else the tokenizer's own BOS and EOS.

    Not LLaMA 3's own EOS: it is ``<|eot_id|>`` after a stage with the LLaMA 3 format. Some tokenizers have no
    BOS, Qwen's among them; then there is none.

    Raises:
        PromptError: the tokenizer has no EOS.
    """
    if has_llama3_markers(tokenizer):
        return BEGIN_OF_TEXT, END_OF_TEXT
    special = special_tokens(tokenizer)
    if special.eos_token is None:
        raise PromptError(
            "the tokenizer has no end-of-sequence token (remedy: name it in tokenizer_config.json, eos_token)"
        )
    return special.bos_token, special.eos_token


def encode_llama3(
    tokenizer: PreTrainedTokenizerBase,
    turns: Sequence[Turn],
    *,
    images: int = 1,
    supervision: Supervision = "paper",
) -> Encoded:
    """Ids and labels in the LLaMA 3 format (Listing 2), for a conversation of any number of rounds.

    Args:
        turns: texts are stripped, and a turn's only ``<image>`` moves to its front (`place_image`).
        images: how many ``<image>`` the turns must contain.
        supervision: ``"paper"`` supervises each assistant message with its header, and every BOS, header
            and end-of-turn marker, the user's included. ``"answer"`` supervises each answer and the
            ``<|eot_id|>`` that ends it. The module's docstring shows both.

    Raises:
        PromptError: there are no turns or no answer, a role is unknown, a text contains a marker or another
            control token, or the number of ``<image>`` is not ``images``.
    """
    if supervision not in get_args(Supervision):
        raise PromptError(
            f"unknown supervision {supervision!r}: use one of {', '.join(get_args(Supervision))}"
        )
    require_turns(turns, images, (*MARKERS, *control_tokens(tokenizer)))
    begin, start, end, end_of_turn = _marker_ids(
        tokenizer, (BEGIN_OF_TEXT, START_HEADER, END_HEADER, END_OF_TURN)
    )
    header = token_ids(tokenizer, _header("assistant"))
    input_ids, labels, answer_starts = [begin], [IGNORE_INDEX], []
    for turn in turns:
        message = token_ids(tokenizer, _header(turn.role) + place_image(turn.text).strip() + END_OF_TURN)
        if turn.role == "user":
            labels += [IGNORE_INDEX] * len(message)
        else:
            prefix = _shared_prefix(message, header)
            answer_starts.append(len(input_ids) + prefix)
            labels += message if supervision == "paper" else [IGNORE_INDEX] * prefix + message[prefix:]
        input_ids += message
    if supervision == "paper":
        # Upstream unmasks these wherever they are. Its list has "\n\n" too, but looks it up by a name that is
        # not in LLaMA 3's vocabulary: the newlines of the user's header stay masked.
        markers = {begin, start, end, end_of_turn}
        labels = [
            token if token in markers else label for token, label in zip(input_ids, labels, strict=True)
        ]
    return Encoded(input_ids, labels, answer_starts[0])


def require_turns(turns: Sequence[Turn], images: int, markers: Sequence[str]) -> None:
    """Check that a conversation has an answer and as many ``<image>`` as ``images``, and no marker in a text.

    Raises:
        PromptError: it has not, or a role is unknown.
    """
    if not turns:
        raise PromptError("the conversation is empty")
    for turn in turns:
        if turn.role not in get_args(Role):
            raise PromptError(f"unknown role {turn.role!r}: use one of {', '.join(get_args(Role))}")
        refuse_markers(turn.text, markers)
    if all(turn.role == "user" for turn in turns):
        raise PromptError("the conversation has no answer")
    found = sum(turn.text.count(IMAGE_TOKEN) for turn in turns)
    if found != images:
        raise PromptError(f"{found} {IMAGE_TOKEN} in the text but {images} image(s)")


def refuse_markers(text: str, markers: Sequence[str]) -> None:
    """Check that none of ``markers`` is in a text (`marker_in`).

    Raises:
        PromptError: one is.
    """
    if (marker := marker_in(text, markers)) is not None:
        raise PromptError(f"the text contains the marker {marker}")


def marker_in(text: str, markers: Sequence[str]) -> str | None:
    """The first of ``markers`` that is in a text, or comes to be once its ``<image>`` moves (`place_image`).

    So may another ``<image>``: ``<im<image>age>``.
    """
    bare = text.replace(IMAGE_TOKEN, "")
    found = (marker for marker in markers if marker in text or marker in bare)
    return next(found, IMAGE_TOKEN if IMAGE_TOKEN in bare else None)


def has_llama3_markers(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the tokenizer has all markers of the LLaMA 3 format as tokens."""
    ids = tokenizer.convert_tokens_to_ids(list(MARKERS))
    assert isinstance(ids, list)  # an int for a single token only
    return not {None, special_tokens(tokenizer).unk_token_id} & {*ids}


def control_tokens(tokenizer: PreTrainedTokenizerBase) -> tuple[str, ...]:
    """The texts that a tokenizer reads as control tokens, such as the end of a turn; ``<image>`` is none."""
    # Some tokenizers have thousands of added tokens, and every row asks.
    return _control_tokens(tokenizer, len(tokenizer))


@lru_cache(maxsize=4)
def _control_tokens(tokenizer: PreTrainedTokenizerBase, size: int) -> tuple[str, ...]:
    added = tokenizer.added_tokens_decoder.values()
    return tuple(token.content for token in added if token.special and token.content != IMAGE_TOKEN)


def truncate(
    encoded: Encoded, max_length: int, *, image_token_id: int, feature_counts: Sequence[int] = ()
) -> tuple[Encoded, list[int]]:
    """Cut a sample to ``max_length`` tokens, with each image counted as the features that it becomes.

    This is what LLaVA-NeXT keeps: its collator cuts the ids, with an image as one of them, and its model cuts
    again after widening. The second cut includes the first.

    Args:
        feature_counts: the number of features of each image, in order.

    Returns:
        The sample, an image still a single id, and the number of features that are kept of each image in it.
        The last of these may be smaller than the image's own; images behind the cut are left out.

    Raises:
        PromptError: no token of an answer would be left to learn from; or an image is so far back that
            upstream's collator would cut its id, and then give its features to another sample.
    """
    images = iter(feature_counts)
    kept: list[int] = []
    position = cut = 0  # in the widened sample; in ours
    answer = 0
    for index, token in enumerate(encoded.input_ids):
        if index == encoded.answer_start:
            answer = position
        width = next(images) if token == image_token_id else 1
        if token == image_token_id and index >= max_length:
            raise PromptError(f"an image comes after the first {max_length} tokens of the text")
        if position < max_length:
            cut = index + 1
            if token == image_token_id:
                kept.append(min(width, max_length - position))
        position += width
    if answer >= max_length:
        raise PromptError(
            f"no supervised token is left after truncation to {max_length} tokens: "
            f"the answer starts at token {answer + 1} of {position}"
        )
    if cut == len(encoded.input_ids):
        return encoded, kept
    return Encoded(encoded.input_ids[:cut], encoded.labels[:cut], encoded.answer_start), kept


def place_image(text: str) -> str:
    """Move a turn's only ``<image>`` to its front, followed by a newline; two or more stay where they are.

    Source: ``preprocess_multimodal`` in upstream's ``llava/train/train.py``.
    """
    if text.count(IMAGE_TOKEN) != 1 or text.startswith(IMAGE_TOKEN):
        return text
    return f"{IMAGE_TOKEN}\n{text.replace(IMAGE_TOKEN, '').strip()}".strip()


def _header(role: Role) -> str:
    return f"{START_HEADER}{role}{END_HEADER}\n\n"


def token_ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """The text's ids, without any token that the tokenizer would add by itself."""
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def _marker_ids(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[str]) -> list[int]:
    ids = tokenizer.convert_tokens_to_ids(list(tokens))
    assert isinstance(ids, list)  # an int for a single token only
    for token, token_id in zip(tokens, ids, strict=True):
        if token_id is None or token_id == tokenizer.unk_token_id:
            raise PromptError(f"the tokenizer has no token {token} (remedy: start from a LLaMA 3 tokenizer)")
    return ids


def _shared_prefix(message: Sequence[int], header: Sequence[int]) -> int:
    # The tokenizer may merge the header's newlines with the answer's first characters; that token is part of
    # the answer.
    length = 0
    while length < len(header) and message[length] == header[length]:
        length += 1
    return length
