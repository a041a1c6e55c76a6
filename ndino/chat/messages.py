"""What the page sends, checked, and the training sample that a conversation becomes."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ndino.chat.errors import ChatError
from ndino.chat.images import HeldImage
from ndino.common.endpoint.thoughts import without_thought
from ndino.common.files import key_of
from ndino.evaluation.tasks.framework.instructions import short_answer
from ndino.formats.llava_json import fault_of
from ndino.formats.prompts import IMAGE_TOKEN
from ndino.languages.language import codes

LONGEST_TEXT = 100_000  # characters
MOST_ROUNDS = 100

_Text = Annotated[str, Field(max_length=LONGEST_TEXT)]


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class AskedQuestion(_Message):
    """A question as it was typed.

    Attributes:
        short: whether the language's instruction for a short answer follows it.
        language: the code of that language.
    """

    question: _Text
    short: bool
    language: str

    @property
    def prompt(self) -> str:
        """The question with its instruction, as in training and in the benchmarks.

        Raises:
            ChatError: it is empty, or there is no such language.
        """
        if not self.question.strip():
            raise ChatError("the question is empty (remedy: write one)")
        if self.language not in codes():
            raise ChatError(f"no language {self.language!r} (remedy: one of {', '.join(codes())})")
        return self.question.strip() + (short_answer(self.language) if self.short else "")


class AnsweredQuestion(AskedQuestion):
    """A question with a model's answer, which the page shows with its thought."""

    answer: _Text

    @property
    def said(self) -> str:
        """The answer without its thought; empty where that has no end."""
        return without_thought(self.answer) or ""


_Rounds = Annotated[list[AnsweredQuestion], Field(max_length=MOST_ROUNDS)]


class AnswerRequest(AskedQuestion):
    """A question for one model.

    Attributes:
        model: its number among the models of the page.
        image: the digest of an image in memory; None for a question without one.
        rounds: what was asked and answered before.
    """

    model: int
    image: str | None
    rounds: _Rounds


class SampleRequest(_Message):
    """A conversation that is to become a training sample; the image as in `AnswerRequest`."""

    image: str | None
    rounds: _Rounds


def parse_request(kind: type[_Message], content: bytes) -> Any:
    """A message of the page, of this kind.

    Raises:
        ChatError: it is none.
    """
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ChatError(
            f"the request is not understood: {place}: {first['msg']} (remedy: reload the page)"
        ) from error


def sample_of(rounds: list[AnsweredQuestion], image: HeldImage | None) -> dict[str, Any]:
    """A row of LLaVA JSON for a conversation about an image.

    Raises:
        ChatError: it could not be trained on.
    """
    turns = []
    for number, one in enumerate(rounds):
        first = f"{IMAGE_TOKEN}\n" if image is not None and number == 0 else ""
        turns += [
            {"from": "human", "value": first + one.prompt},
            {"from": "gpt", "value": one.said.strip()},
        ]
    row: dict[str, Any] = {"id": f"chat-{key_of(turns, image.id if image else None)[:16]}"}
    row |= {"image": image.name} if image is not None else {}
    row["conversations"] = turns
    if reason := fault_of(row):
        raise ChatError(f"no training sample: {reason} (remedy: ask again)")
    return row
