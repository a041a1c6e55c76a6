"""What the page asks for: which models there are, images, answers as they come, and samples."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ndino.chat.errors import ChatError
from ndino.chat.examples import Example
from ndino.chat.images import MAX_BYTES, HeldImage, HeldImages
from ndino.chat.messages import AnswerRequest, SampleRequest, sample_of
from ndino.chat.models import ChatModel, LocalModel, Progress, Prompt
from ndino.chat.served import ServerModel
from ndino.chat.turns import Turns
from ndino.common.endpoint.address import is_address
from ndino.common.errors import UserError, reason_of, with_remedy
from ndino.common.images import ImageFaultError
from ndino.languages.language import LanguageError, codes, language

# Of one answer, at most: the benchmarks' of short answers with the longest, and of long ones.
SHORT_TOKENS, LONG_TOKENS = 128, 512
LOADING, READY, FAILED = "loading", "ready", "failed"


@dataclass
class ModelColumn:
    """A model of the page.

    Attributes:
        source: a folder, a hub id, or the address of a server.
        folder: of the model; None for a server, and where it failed before it was loaded.
        message: why it failed.
    """

    name: str
    source: str
    folder: Path | None = None
    message: str = ""
    model: ChatModel | None = field(default=None, repr=False)

    @property
    def served(self) -> bool:
        """Whether it is a server's, which may be started or mended while the page is open."""
        return is_address(self.source)

    @property
    def state(self) -> str:
        return READY if self.model else FAILED if self.message else LOADING

    def load(self) -> None:
        """Load the model, or keep why it cannot be; the other models are not concerned."""
        if self.message:
            return
        try:
            self.model = ServerModel(self.source) if self.folder is None else LocalModel(self.folder)
        except Exception as error:  # transformers' readers have errors of every kind
            self.message = with_remedy(reason_of(error), "save or copy the model again")


class ChatSession:
    """The state of the page: its models, and the images that were chosen. Nothing of it is on disk."""

    def __init__(self, columns: Sequence[ModelColumn], examples: Sequence[Example], lang: str) -> None:
        self.columns, self.lang = list(columns), lang
        self.images = HeldImages()
        self.examples: list[tuple[HeldImage, str]] = []
        for example in examples:
            try:
                self.examples.append((self.images.add(example.content, example.name), example.question))
            except ImageFaultError:
                continue  # the benchmark's own checks name it
        self._turns = Turns()
        self._loading = threading.Thread(target=self._load, daemon=True)

    def load(self) -> threading.Thread:
        """Load the models one after the other, in a thread."""
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()
        self._loading.start()
        return self._loading

    def _load(self) -> None:
        for column in self.columns:
            column.load()

    def state(self) -> dict[str, Any]:
        """What the page shows before anything is asked."""
        return {
            "models": [
                {
                    "name": c.name,
                    "source": c.source,
                    "state": c.state,
                    "message": c.message,
                    "served": c.served,
                }
                for c in self.columns
            ],
            "examples": [{**_shown(image), "question": question} for image, question in self.examples],
            "languages": [_language(code) for code in codes() if _has_short_answers(code)],
            "language": self.lang,
            "most_bytes": MAX_BYTES,
        }

    def add_image(self, content: bytes, name: str) -> dict[str, Any]:
        """Hold an image file; raises ChatError where it cannot be read."""
        try:
            return _shown(self.images.add(content, name))
        except ImageFaultError as error:
            raise ChatError(f"{error.reason} (remedy: {_remedy(error)})") from error

    def another_image(self, digest: str) -> dict[str, Any]:
        """The image that the control shows in place of this one; raises ChatError where there is none."""
        return _shown(self.images.another(digest))

    def answer(self, request: AnswerRequest, send: Callable[[dict[str, Any]], None]) -> None:
        """Answer a question; ``send`` gets every step, and what it raises ends the answer.

        The steps: ``{"waiting": N}`` while N others are answered, ``{"text", "tokens", "seconds",
        "first"}`` for every token, at the end ``{"end": "model"}`` or ``{"end": "limit"}``, or
        ``{"error": …}``.
        """
        try:
            model, prompt = self._model(request.model), self._prompt(request)
            turn = self._turns.turn(lambda before: send({"waiting": before}))
            with turn if model.local else contextlib.nullcontext():
                ended = model.answer(prompt, lambda step: send(_step(step)))
        except (ConnectionError, TimeoutError):
            raise  # the page has left
        except UserError as error:
            send({"error": str(error)})
        except Exception as error:  # a model that fails must not end the others' answers
            send({"error": with_remedy(reason_of(error), "try again, or a smaller image")})
        else:
            send({"end": "model" if ended else "limit"})

    def sample(self, request: SampleRequest) -> str:
        """A conversation as a row of LLaVA JSON; raises ChatError where it cannot be one."""
        image = None if request.image is None else self.images.get(request.image)
        return json.dumps(sample_of(request.rounds, image), ensure_ascii=False)

    def _model(self, number: int) -> ChatModel:
        if not 0 <= number < len(self.columns):
            raise ChatError(f"no model {number} (remedy: reload the page)")
        column = self.columns[number]
        if column.served and column.message:
            column.message = ""
            column.load()
        if column.model is None:
            reason = column.message or f"{column.name} is still being loaded"
            raise ChatError(with_remedy(reason, "wait for it"))
        return column.model

    def _prompt(self, request: AnswerRequest) -> Prompt:
        image = None if request.image is None else self.images.get(request.image).decode()
        rounds = [(one.prompt, one.said) for one in request.rounds if one.said]
        return Prompt(request.prompt, rounds, image, SHORT_TOKENS if request.short else LONG_TOKENS)


def _shown(image: HeldImage) -> dict[str, Any]:
    return {"id": image.id, "name": image.name, "width": image.width, "height": image.height}


def _has_short_answers(code: str) -> bool:
    try:
        return bool(language(code).words.get("short_answer"))
    except LanguageError:  # a file that is not finished yet is no reason to refuse the other languages
        return False


def _language(code: str) -> dict[str, str]:
    words = language(code).words
    return {
        "code": code,
        "name": str(words.get("endonym") or language(code).name),
        "short": str(words["short_answer"]).strip(),
    }


def _remedy(error: ImageFaultError) -> str:
    # The usual remedies speak of rows.
    return error.remedy.removesuffix(", or remove the row")


def _step(step: Progress) -> dict[str, Any]:
    return {"text": step.text, "tokens": step.tokens, "seconds": step.seconds, "first": step.first}
