"""The layouts in which instruction text is published: a row becomes the turns of a conversation.

docs/data/text.md lists them with examples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ndino.data.io.text import TextError
from ndino.formats.prompts import Role, Turn

# Columns with a whole conversation, and who speaks in one.
MESSAGES = ("messages", "conversations", "conversation")
SPEAKERS: dict[str, Role] = {
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
}
# Columns of a single question and answer; the first that a row has counts.
QUESTIONS = ("instruction", "prompt", "question", "inputs")
INPUTS = ("input", "context")
ANSWERS = ("output", "response", "answer", "targets", "completion")
SYSTEM, SYSTEMS = "system", ("system", "system_prompt")
IMAGES = ("image", "images")
READ = (*MESSAGES, *QUESTIONS, *INPUTS, *ANSWERS, *SYSTEMS, *IMAGES)


def turns_of(row: Any) -> tuple[Turn, ...]:
    """The conversation of a row: user and assistant in turn, with text in every turn, an answer at the end.

    A question at the end that nobody answered is left out.

    Raises:
        TextError: the row is in none of the layouts, or its conversation is not such a one; or it has an
            image, or a system message, for which the prompt has no place.
    """
    if not isinstance(row, Mapping):
        raise TextError("not an object")
    if any(row.get(name) for name in IMAGES):
        raise TextError("has an image")
    if any(row.get(name) for name in SYSTEMS):
        raise TextError("has a system message")
    for name in MESSAGES:
        if row.get(name):
            return _in_turn(_messages(row[name]))
    asked = [text for names in (QUESTIONS, INPUTS) if (text := _first(row, names))]
    if not asked and not any(name in row for name in ANSWERS):
        raise TextError("in no known layout")
    return _in_turn([Turn("user", "\n\n".join(asked)), Turn("assistant", _first(row, ANSWERS))])


def _first(row: Mapping[str, Any], names: Sequence[str]) -> str:
    return next((_written(row[name]) for name in names if row.get(name) is not None), "")


def _written(value: Any) -> str:
    if not isinstance(value, str):
        raise TextError("a text is not text")
    return value.strip()


def _messages(value: Any) -> list[Turn]:
    if not isinstance(value, list) or not all(isinstance(message, Mapping) for message in value):
        raise TextError("no list of messages")
    turns = []
    for message in value:
        speaker = message.get("role", message.get("from"))
        text = _content(message.get("content", message.get("value")))
        if speaker == SYSTEM:
            if text:
                raise TextError("has a system message")
            continue
        if not isinstance(speaker, str) or speaker not in SPEAKERS:
            raise TextError("a message of somebody unknown")
        turns.append(Turn(SPEAKERS[speaker], text))
    return turns


def _content(value: Any) -> str:
    """The text of a message: plain, or as OpenAI's list of parts."""
    if not isinstance(value, list):
        return _written("" if value is None else value)
    parts = [part for part in value if isinstance(part, Mapping)]
    if len(parts) < len(value) or any(part.get("type") != "text" for part in parts):
        raise TextError("has an image")
    return "\n".join(_written(part.get("text") or "") for part in parts)


def _in_turn(turns: list[Turn]) -> tuple[Turn, ...]:
    if turns and turns[-1].role == "user":
        turns = turns[:-1]
    if not turns:
        raise TextError("no answer")
    for place, turn in enumerate(turns):
        if turn.role != ("assistant" if place % 2 else "user"):
            raise TextError("user and assistant do not speak in turn")
        if not turn.text:
            raise TextError("a message without text" if len(turns) > 2 or place == 0 else "no answer")
    return tuple(turns)
