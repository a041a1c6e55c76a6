"""The chat template that a model is saved with: the tokenizer's own, behind a beginning of ours.

The beginning rewrites the messages before the tokenizer's template reads them, so that a text with
``<image>`` in it, as in a training row, and a message in typed parts, as transformers' processors take them,
become the same:

- an image is an ``<image>`` in its place among the texts, and texts keep their spaces;
- images before all text have a line each, as LLaVA's rows write them;
- spaces around a whole message are dropped.

A system prompt and a choice about thinking are the recipe's unless whoever asks gives their own. Today's date
is a fixed one, in templates that write it: a prompt that changes by the day is never the trained one again.
"""

from __future__ import annotations

import json
import re
from datetime import date
from typing import TYPE_CHECKING, Any

from ndino.formats.prompts import IMAGE_TOKEN, LLAMA3_CHAT_TEMPLATE, has_llama3_markers

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Behind it is the tokenizer's own template. A later stage takes that from here, and writes another beginning.
_OWN = "{# Here begins the chat template of the language model. #}\n"
# Templates that write today's date call transformers' ``strftime_now``. A macro of that name takes its place.
_TODAY = "strftime_now"
_DAY = date(2024, 7, 26)  # LLaMA 3.1's template writes it where it cannot know the date
_DIRECTIVES = ("%d", "%b", "%B", "%Y", "%m", "%y", "%a", "%A", "%j", "%H", "%I", "%M", "%S", "%p")
_THINKING = "enable_thinking"  # the variable of Qwen3's template, and of those made after it

# In Jinja that llama.cpp's engine knows too: it has no dict() to copy a message with all its fields.
_PLACED = (
    "{% set ndino = namespace(messages=[]) %}"
    "{% for message in messages %}"
    "{% set made = namespace(text='', placed='', begun=false) %}"
    "{% if message['content'] is string %}{% set made.text = message['content'] %}"
    "{% elif message['content'] %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{% set made.text = made.text + '" + IMAGE_TOKEN + "' %}"
    "{% elif part['type'] == 'text' %}{% set made.text = made.text + part['text'] %}"
    "{% endif %}"
    "{% endfor %}"
    "{% endif %}"
    "{% for piece in made.text.split('" + IMAGE_TOKEN + "') %}"
    "{% if not loop.first %}{% set made.placed = made.placed + '" + IMAGE_TOKEN + "' %}{% endif %}"
    "{% if made.begun %}"
    "{% set made.placed = made.placed + piece %}"
    "{% else %}"
    "{% set made.begun = (piece | trim | length) > 0 %}"
    "{% set made.placed = made.placed + ('' if loop.first else '\\n') + piece.lstrip() %}"
    "{% endif %}"
    "{% endfor %}"
    "{% set made.placed = made.placed | trim %}"
    "{% if not message['content'] or made.placed == message['content'] %}"
    "{% set ndino.messages = ndino.messages + [message] %}"
    "{% else %}"
    "{% set ndino.messages = ndino.messages + [{'role': message['role'], 'content': made.placed}] %}"
    "{% endif %}"
    "{% endfor %}"
    "{% set messages = ndino.messages %}"
)


def published_template(own: str, *, system: str | None = None, thinking: bool = False) -> str:
    """The template to save with a model whose tokenizer's is ``own``; a beginning of ours is replaced.

    Args:
        system: the text of a system message, for conversations without one. None adds none; a template that
            writes one of its own accord still does.
        thinking: whether the model thinks before it answers, in a template that can be told.
    """
    own = own_template(own)
    beginning = _PLACED
    if _TODAY in own:
        written = "".join(f" | replace('{name}', '{_DAY.strftime(name)}')" for name in _DIRECTIVES)
        beginning += f"{{% macro {_TODAY}(format) %}}{{{{ format{written} }}}}{{% endmacro %}}"
    if system is not None:
        message = f"{{'role': 'system', 'content': {_literal(system)}}}"
        beginning += (
            "{% if messages and messages[0]['role'] != 'system' %}"
            f"{{% set messages = [{message}] + messages %}}"
            "{% endif %}"
        )
    if knows_thinking(own):
        choice = f"{{% set {_THINKING} = {str(thinking).lower()} %}}"
        beginning += f"{{% if {_THINKING} is not defined %}}{choice}{{% endif %}}"
    return beginning + _OWN + own


def own_template(template: str) -> str:
    """The tokenizer's own template, without a beginning of ours."""
    return template.partition(_OWN)[2] if is_published(template) else template


def saved_template(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """The template to save with a model that was not trained with ``prompt: chat``.

    That is Listing 2 for a LLaMA 3 tokenizer, and otherwise the tokenizer's own, if it has one. One of ours
    is kept: an earlier stage was trained with it.
    """
    own = tokenizer.get_chat_template() if tokenizer.chat_template else None
    if own is not None and is_published(own):
        return own
    if has_llama3_markers(tokenizer):
        return LLAMA3_CHAT_TEMPLATE
    return None if own is None else published_template(own)


def is_published(template: str) -> bool:
    """Whether a template has a beginning of ours: the model was saved by us, and trained with it."""
    return template.startswith(_PLACED) and _OWN in template


def knows_thinking(template: str) -> bool:
    """Whether the template can be told to think or not to."""
    return re.search(rf"\b{_THINKING}\b", template) is not None


def thinking_off(template: str) -> dict[str, Any]:
    """What a chat template is given for an answer without a thought before it; empty where it cannot be told.

    ``enable_thinking`` is Qwen3's, SmolLM3's, GLM's, EXAONE's and Gemma 4's, ``thinking`` Granite's,
    DeepSeek's and Hermes'; gpt-oss always thinks, the least with a ``reasoning_effort`` of ``low``.
    """
    options: dict[str, Any] = dict.fromkeys(re.findall(rf"\b(?:{_THINKING}|thinking)\b", template), False)
    if "reasoning_effort" in template and "<|channel|>" in template:
        options["reasoning_effort"] = "low"
    return options


def has_marks(template: str) -> bool:
    """Whether the template marks what the assistant says."""
    return re.search(r"{%-?\s*generation\s*-?%}", template) is not None


def placed(text: str) -> str:
    """The text of a message as the published template hands it to the tokenizer's own."""
    made = ""
    for place, piece in enumerate(text.split(IMAGE_TOKEN)):
        made += IMAGE_TOKEN if place else ""
        if made.replace(IMAGE_TOKEN, "").strip():
            made += piece
        else:
            made += ("\n" if place else "") + piece.lstrip()
    return made.strip()


def _literal(text: str) -> str:
    # Jinja reads JSON's escapes, but would make two halves of a character out of a pair of them.
    return json.dumps(text, ensure_ascii=False)
