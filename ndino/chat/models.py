"""A model that answers token by token, by its own chat template, as `ndino evaluate` asks it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ndino.chat.errors import ChatError
from ndino.common.errors import reason_of
from ndino.formats.context import context_of
from ndino.formats.image_tokens import widen_image_tokens
from ndino.formats.prompts import IMAGE_TOKEN, control_tokens
from ndino.formats.questions.faults import marker_fault

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

# What a tokenizer decodes to where a character's other bytes are still to come.
_HALF_A_CHARACTER = "\ufffd"


@dataclass(frozen=True)
class Progress:
    """What an answer has become with one more token.

    Attributes:
        text: what is new; empty while a character is incomplete.
        tokens: their number so far, with the one that ends the answer.
        seconds: since the first of them, which comes after the image and the question were read.
        first: seconds until that one.
    """

    text: str
    tokens: int
    seconds: float
    first: float


@dataclass(frozen=True)
class Prompt:
    """A question, with what comes before it: rounds of questions and answers, and an image."""

    question: str
    rounds: Sequence[tuple[str, str]]
    image: Image | None
    max_new_tokens: int

    @property
    def texts(self) -> list[str]:
        """All texts in turn, of the user first."""
        return [*chain.from_iterable(self.rounds), self.question]


class ChatModel(Protocol):
    """What the page asks.

    Attributes:
        local: whether it runs on this machine, where only one may answer at a time.
    """

    local: bool

    def answer(self, prompt: Prompt, show: Callable[[Progress], None]) -> bool:
        """Answer, and ``show`` every token; what that raises ends the answer.

        Returns:
            Whether the model ended the answer itself; False where ``max_new_tokens`` did.

        Raises:
            ChatError: it cannot be asked this.
            Exception: the libraries have errors of their own.
        """
        ...


class LocalModel:
    """A LLaVA-NeXT in Hugging Face format on this machine, on its GPU where it has one.

    Args:
        folder: as `ndino.evaluation.models.find_folder` returns it.

    Raises:
        SetupError: weights are missing or not finite, or there is no chat template.
        Exception: transformers' readers have errors of their own.
    """

    local = True

    def __init__(self, folder: Path) -> None:
        import torch
        from transformers import AutoProcessor

        from ndino.evaluation.errors import SetupError
        from ndino.evaluation.inference.generation import stop_ids
        from ndino.evaluation.inference.loading import load_llava_next
        from ndino.evaluation.inference.prompting import ImageTokenCounts, chat_template
        from ndino.evaluation.provenance import device_kind

        self._model = load_llava_next(str(folder), torch.device(device_kind({})))
        self._processor: Any = AutoProcessor.from_pretrained(str(folder))
        self._tokenizer = self._processor.tokenizer
        template = chat_template(self._tokenizer, self._processor)
        if template is None:
            raise SetupError(f"{folder}: has no chat template (remedy: save the tokenizer with one)")
        self._template = template
        self._markers = (IMAGE_TOKEN, *control_tokens(self._tokenizer))
        self._image_tokens = ImageTokenCounts(self._processor)
        self._context = context_of(self._model.config.get_text_config().to_dict())
        self._ends = stop_ids(self._model, self._tokenizer)

    def answer(self, prompt: Prompt, show: Callable[[Progress], None]) -> bool:
        from ndino.common.transformers_types import generate
        from ndino.evaluation.inference.generation import generation_options
        from ndino.evaluation.inference.greedy import on_model, padded_inputs

        ids = self._ids(prompt)
        room = self._context - len(ids)
        if room < 1:
            raise ChatError(
                f"the conversation has {len(ids)} tokens with its image, but the model's context is "
                f"{self._context} (remedy: start a new conversation)"
            )
        inputs = padded_inputs([ids], [self._pixels(prompt.image)], self._ends[0])
        stream = _Stream(self._tokenizer, self._ends, show)
        generate(
            self._model,
            **on_model(inputs, self._model),
            **generation_options({"max_new_tokens": min(prompt.max_new_tokens, room)}),
            pad_token_id=self._ends[0],
            eos_token_id=self._ends,
            streamer=stream,
        )
        return stream.ended

    def _ids(self, prompt: Prompt) -> list[int]:
        from ndino.evaluation.inference.prompting import prompt_ids

        for text in prompt.texts:
            if fault := marker_fault(text, self._markers, "the conversation"):
                raise ChatError(f"{fault} (remedy: write it in another way)")
        image = prompt.image
        try:
            ids = prompt_ids(
                self._tokenizer, self._template, prompt.question, int(image is not None), prompt.rounds
            )
        except ValueError as error:
            raise ChatError(f"{reason_of(error)} (remedy: save the model with its template)") from error
        counts = [] if image is None else [self._image_tokens.of((image.height, image.width))]
        return widen_image_tokens(ids, self._model.config.image_token_id, counts)

    def _pixels(self, image: Image | None) -> dict[str, torch.Tensor]:
        import torch

        from ndino.evaluation.inference.prompting import image_tensors

        if image is None:
            return {}
        tiles = image_tensors(self._processor.image_processor, image)["pixel_values"]
        return {"pixel_values": tiles, "image_sizes": torch.tensor([[image.height, image.width]])}


class _Stream:
    """Takes tokens from transformers' ``generate`` and shows the text that each adds."""

    def __init__(self, tokenizer: Any, ends: Sequence[int], show: Callable[[Progress], None]) -> None:
        self._tokenizer, self._ends, self._show = tokenizer, ends, show
        self._ids: list[int] = []
        self._count, self._shown = 0, ""
        self._start = time.monotonic()
        self._first: float | None = None
        self._prompt_is_next = True
        self.ended = False

    def put(self, value: torch.Tensor) -> None:
        if self._prompt_is_next:  # generate gives it first
            self._prompt_is_next = False
            return
        now = time.monotonic()
        if self._first is None:
            self._first = now
        for token in value.flatten().tolist():
            self._count += 1
            self.ended = token in self._ends
            if not self.ended:
                self._ids.append(token)
        text = self._tokenizer.decode(self._ids, skip_special_tokens=True)
        new = "" if text.endswith(_HALF_A_CHARACTER) else text[len(self._shown) :]
        self._shown += new
        self._show(Progress(new, self._count, now - self._first, self._first - self._start))

    def end(self) -> None:
        """Called when the answer is complete: a half character at its end stays one."""
        text = self._tokenizer.decode(self._ids, skip_special_tokens=True)
        if rest := text[len(self._shown) :]:
            now = time.monotonic()
            first = self._first or now
            self._show(Progress(rest, self._count, now - first, first - self._start))
