"""Token ids and labels of a conversation, by the chat template that its model is saved with.

Which tokens are learned follows from the template itself. The prompt of an answer is rendered as it is for
generation, and what the whole conversation has behind it is learned, up to the token that ends the turn;
where the template marks the assistant's text (``{% generation %}``), what is marked of that. The conversation
must begin with the prompt of its last answer, in characters and in tokens: else a model would be trained on
another prompt than it is asked with, and the row is refused.

Templates may write an earlier answer otherwise once another question follows; Qwen3's drops its thinking.
Such an answer is read, as it is when the model is asked, and not learned. A row that ends with it teaches it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from ndino.common.errors import reason_of
from ndino.common.transformers_types import special_tokens
from ndino.formats.chat.published import (
    has_marks,
    knows_thinking,
    own_template,
    placed,
    published_template,
)
from ndino.formats.prompts import (
    IGNORE_INDEX,
    IMAGE_TOKEN,
    Encoded,
    PromptError,
    Turn,
    control_tokens,
    require_turns,
    token_ids,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Span = tuple[int, int]  # of characters, the second one behind it
_INSTRUCT = "take the instruct version of the model, or put a chat_template.jinja into its folder"
_PROBE = (Turn("user", f"{IMAGE_TOKEN}\nChe cosa vedi?"), Turn("assistant", "Un gatto."))


@dataclass(frozen=True)
class ChatPrompt:
    """A tokenizer with the template that its model is saved with (`published_template`)."""

    tokenizer: PreTrainedTokenizerBase
    template: str

    @classmethod
    def of(cls, processor: Any) -> ChatPrompt:
        """That of a processor whose template is one of ours."""
        return cls(processor.tokenizer, processor.chat_template)

    def render(self, turns: Sequence[Turn], *, asks: bool = False) -> str:
        """The conversation as text; with ``asks`` also what begins the next answer.

        Raises:
            PromptError: the template fails.
        """
        return self._render(turns, add_generation_prompt=asks)[0]

    def encode(self, turns: Sequence[Turn], *, images: int = 1) -> Encoded:
        """Ids and labels of a conversation; an image is one ``<image>`` id.

        Args:
            images: how many ``<image>`` the turns must contain.

        Raises:
            PromptError: as `require_turns`; or the conversation does not end with an answer; or the template
                fails, prints another text than it is given, has no token at the end of an answer, or begins
                the last answer otherwise than a prompt for it.
        """
        require_turns(turns, images, self._control_tokens)
        if turns[-1].role != "assistant":
            raise PromptError("the conversation does not end with an answer")
        is_marked = has_marks(self.template)
        text, marks = self._render(turns, return_assistant_tokens_mask=is_marked)
        self._require_same_text(text, turns)
        asked = self._asked(text, turns)
        learned = self._marked(text, marks, asked) if is_marked else asked
        ids = token_ids(self.tokenizer, text)
        labels = [IGNORE_INDEX] * len(ids)
        for span in learned:
            start, end = (self._tokens_before(text, ids, place) for place in span)
            labels[start:end] = ids[start:end]
        begun, ended = asked[-1]
        self._tokens_before(text, ids, begun)  # a mark may begin later
        if ended not in [end for _, end in learned]:
            raise PromptError("the chat template leaves the last answer out of its {% generation %}")
        return Encoded(ids, labels, next(n for n, label in enumerate(labels) if label != IGNORE_INDEX))

    @cached_property
    def end_of_turn(self) -> str:
        """The token that ends an answer."""
        encoded = self.encode(_PROBE)
        last = [label for label in encoded.labels if label != IGNORE_INDEX][-1]
        return str(self.tokenizer.convert_ids_to_tokens(last))

    @cached_property
    def example(self) -> str:
        """The prompt in one line, with a question and an answer, for messages."""
        return repr(self.render(_PROBE))

    @cached_property
    def _control_tokens(self) -> tuple[str, ...]:
        return control_tokens(self.tokenizer)

    def _render(self, turns: Sequence[Turn], **options: Any) -> tuple[str, list[Span]]:
        from transformers.utils.chat_template_utils import render_jinja_template

        messages = [{"role": turn.role, "content": turn.text} for turn in turns]
        tokens: Any = self.tokenizer.special_tokens_map
        try:
            texts, marks = render_jinja_template(
                conversations=[messages], chat_template=self.template, **tokens, **options
            )
        except Exception as error:  # a template has errors of its own, and runs in transformers' sandbox
            raise PromptError(f"the chat template fails: {reason_of(error)}") from error
        return texts[0], cast("list[Span]", marks[0] if marks else [])

    def _require_same_text(self, text: str, turns: Sequence[Turn]) -> None:
        place = 0
        for turn in turns:
            wanted = placed(turn.text)
            if (found := text.find(wanted, place)) < 0:
                raise PromptError(f"the chat template prints another text than {wanted[:40]!r}")
            place = found + len(wanted)
        wanted_images = sum(turn.text.count(IMAGE_TOKEN) for turn in turns)
        if (images := text.count(IMAGE_TOKEN)) != wanted_images:
            raise PromptError(f"the chat template prints {images} {IMAGE_TOKEN} for {wanted_images} image(s)")

    def _asked(self, text: str, turns: Sequence[Turn]) -> list[Span]:
        """Where in ``text`` the answers are that are asked for so, each with its end token; the last one is.

        Raises:
            PromptError: the last answer has no end, or does not follow on the prompt for it.
        """
        found = []
        for place, turn in enumerate(turns):
            if turn.role != "assistant":
                continue
            is_last = place == len(turns) - 1
            prompt = self.render(turns[:place], asks=True)
            until = text if is_last else self.render(turns[: place + 1])
            if until.startswith(prompt):
                end = self._end_of(until, len(prompt), placed(turn.text))
                if text.startswith(until[:end]):
                    found.append((len(prompt), end))
            elif is_last:
                raise PromptError("the chat template begins an answer otherwise than the prompt for it")
        return found

    def _end_of(self, text: str, start: int, answer: str) -> int:
        """Where the token ends that ends the answer, the last one in ``text``."""
        place = text.rfind(answer, start)
        while place >= 0:
            behind = text[place + len(answer) :]
            spaces = len(behind) - len(behind.lstrip())
            for token in self._control_tokens:
                if behind.startswith(token, spaces):
                    return place + len(answer) + spaces + len(token)
            place = text.rfind(answer, start, place + len(answer) - 1)
        raise PromptError("the chat template has no control token at the end of an answer")

    def _marked(self, text: str, marks: Sequence[Span], asked: Sequence[Span]) -> list[Span]:
        """What is marked of the answers that are asked for so; the token that ends a turn with its answer.

        Marks may begin with what the prompt has already, a header or an empty thought.
        """
        found = []
        for begun, ended in asked:
            for start, end in marks:
                up_to_the_end = text[end:ended].strip() in self._control_tokens
                start, end = max(start, begun), ended if up_to_the_end else min(end, ended)
                found += [(start, end)] if start < end else []
        return found

    def _tokens_before(self, text: str, ids: Sequence[int], place: int) -> int:
        """How many tokens the first ``place`` characters are; the same ones by themselves as in the text."""
        before = token_ids(self.tokenizer, text[:place])
        if before != ids[: len(before)]:
            raise PromptError(
                f"the tokenizer joins {text[:place][-10:]!r}, the prompt's end, with {text[place:][:10]!r}"
            )
        return len(before)


def chat_prompt(
    tokenizer: PreTrainedTokenizerBase, *, system: str | None = None, thinking: bool = False
) -> ChatPrompt:
    """The prompt of a recipe with ``prompt: chat``; the tokenizer gets its template and its end of an answer.

    Evaluation harnesses stop at the end-of-sequence token, and a template may print it: so it is set before
    the first row is encoded, and not only when the model is saved.

    Raises:
        PromptError: there is no template, or rows cannot be encoded with it; says what to change.
    """
    if not tokenizer.chat_template:
        raise PromptError(f"the tokenizer has no chat template (remedy: {_INSTRUCT})")
    own = own_template(tokenizer.get_chat_template())
    if thinking and not knows_thinking(own):
        raise PromptError(
            "the chat template has no enable_thinking to switch on (remedy: thinking: false in the recipe)"
        )
    prompt = ChatPrompt(tokenizer, published_template(own, system=system, thinking=thinking))
    try:
        end = prompt.end_of_turn
        if system is not None and system.strip() not in prompt.render(_PROBE):
            raise PromptError("the chat template leaves the system prompt out, or changes it")
    except PromptError as error:
        remedy = f"correct its chat_template.jinja, or {_INSTRUCT}"
        if system is not None and _can_be_encoded(tokenizer, published_template(own, thinking=thinking)):
            remedy = "remove system from the recipe: the template takes no system prompt"
        raise PromptError(f"{error} (remedy: {remedy})") from error
    tokenizer.chat_template = prompt.template
    special_tokens(tokenizer).eos_token = end
    return prompt


def _can_be_encoded(tokenizer: PreTrainedTokenizerBase, template: str) -> bool:
    try:
        ChatPrompt(tokenizer, template).encode(_PROBE)
    except PromptError:
        return False
    return True
