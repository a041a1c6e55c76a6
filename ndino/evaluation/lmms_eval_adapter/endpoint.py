"""A model behind an OpenAI-compatible server, asked as our own models are: vLLM, llama.cpp, a cloud."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from lmms_eval.api.instance import Instance
from lmms_eval.api.model import lmms
from PIL import Image
from tqdm import tqdm

from ndino.common.endpoint import ChatEndpoint, Patience, Refused, Reply, Wording
from ndino.common.images import data_url, to_rgb
from ndino.evaluation.answer_store import AnswerStore
from ndino.evaluation.errors import EndpointError, SetupError
from ndino.evaluation.inference.generation import cut, ends_of, generation_options
from ndino.evaluation.inference.prompting import message_parts, with_images
from ndino.evaluation.lmms_eval_adapter.answering import (
    Key,
    answer_as_they_come,
    request_keys,
    settings_of,
)
from ndino.evaluation.models import ENDPOINT_KEY

# Part of the keys of stored answers. Raise it when a change of this code changes answers.
VERSION = 1

WORDING = Wording(
    url="--endpoint",
    model="--model",
    requests="--batch",
    key=ENDPOINT_KEY,
    refuses="a question about an image",
    able="--model with the server's name of it, or serve a model that takes images",
    error=EndpointError,
)
MOST_STOPS = 4  # that the API takes; the answer is cut here as well
# What a server says of a model that identifies it, as vLLM and llama.cpp do.
IDENTIFYING = ("owned_by", "root", "max_model_len", "meta")


def _notice(line: str) -> None:
    # Above the progress bar; ``sys.stderr`` is redirected to swallow the libraries' messages.
    tqdm.write(f"ndino evaluate: {line}", file=sys.__stderr__)


class EndpointModel(lmms):
    """``model``, as the server at ``url`` names it, behind lmms-eval's interface.

    The questions and the images are those that our own wrappers show, each image as a PNG in the request.

    Args:
        requests: the largest number at a time.

    Raises:
        UsageError: ``url`` is no web address.
        EndpointError: the server is not there, refuses the key, or serves another model.
    """

    def __init__(self, url: str, model: str, requests: int, patience: Patience | None = None) -> None:
        super().__init__()
        plain = _request([_url(Image.new("RGB", (64, 64)))], "a", {"max_new_tokens": 1})
        self._endpoint = ChatEndpoint(
            url, model, WORDING, plain, requests=requests, patience=patience, notice=_notice
        )
        self._endpoint.check()
        self.store: AnswerStore | None = None
        self.identity = ""
        self.on_answered: Callable[[int], object] = lambda number: None
        # The digests of the images that each question showed, by task and row (`note_images`).
        self.shown_images: dict[str, dict[int, list[str]]] = {}
        # Of what was asked so far: questions, tokens of their prompts and of their answers, empty answers.
        self._asked = self._prompt_tokens = self._answer_tokens = self._empty = 0
        self._usage: dict[str, Any] = {}
        self._reading = threading.Lock()

    def remember(self, store: AnswerStore, identity: str) -> None:
        """Store answers in ``store`` from now on; ``identity`` is of all but the questions."""
        self.store, self.identity = store, identity

    def stated(self) -> dict[str, Any]:
        """What the server says of the model, and of the tokens of the questions that were answered last."""
        listed = self._endpoint.listed
        server = {name: listed[name] for name in IDENTIFYING if name in listed}
        return {"server": server, "usage": self._usage}

    def summary(self) -> str:
        """A line on what was asked so far, for the end of a run."""
        line = (
            f"the server answered {self._asked:,} questions: {self._prompt_tokens:,} tokens in the prompts "
            f"and {self._answer_tokens:,} in the answers"
        )
        return f"{line}; {self._empty:,} answers are empty" if self._empty else line

    def generate_until(self, requests: list[Instance]) -> list[str]:
        """Answer all requests, in their order.

        Raises:
            EndpointError: the server does not answer, refuses the key or gives no answers of a model.
            SetupError: it refuses one of the questions, or all answers are empty.
        """
        keys = request_keys(self, requests, self.identity if self.store else None)
        answers = answer_as_they_come(
            requests,
            keys,
            self._ask,
            store=self.store,
            on_answered=self.on_answered,
            # An answer that was held back may be given another time.
            keep_empty=False,
        )
        if requests and not any(answers):
            raise SetupError(
                f"{self._endpoint.url}: all {len(answers)} answers are empty "
                "(remedy: try the model by hand; its chat template or its limit on tokens may be wrong)"
            )
        self._empty += sum(not text for text in answers)
        # Equal questions are asked once.
        noted = self.store.tokens(key for key in keys if isinstance(key, str)) if self.store else []
        prompts, given = (sum(pair[side] for pair in noted) for side in (0, 1))
        self._usage = {"answers": len(noted), "prompt_tokens": prompts, "answer_tokens": given}
        return answers

    def _ask(self, missing: Mapping[Key, Instance], take: Callable[[Mapping[Key, str]], None]) -> None:
        keys = list(missing)

        def taken(place: int, reply: Reply | Refused) -> None:
            key = keys[place]
            request: Any = missing[key]
            if isinstance(reply, Refused):
                raise SetupError(
                    f"{request.task_name} document {request.doc_id}: {self._endpoint.url} refuses it: "
                    f"{reply.said} (remedy: what the server says, or --tasks without this one)"
                )
            self._asked += 1
            if reply.tokens is not None:
                self._prompt_tokens += reply.tokens[0]
                self._answer_tokens += reply.tokens[1]
                if self.store is not None and isinstance(key, str):
                    self.store.keep_tokens(key, *reply.tokens)
            # A text that is held back is no answer.
            take({key: cut(reply.text or "", ends_of(settings_of(request)))})

        if missing:
            self._endpoint.ask([partial(self._request, request) for request in missing.values()], taken)

    def _request(self, request: Instance) -> dict[str, Any]:
        arguments: tuple[Any, ...] = request.args
        context, settings, doc_to_visual, doc_id, task, split = arguments
        # The files of a data set are read by one thread at a time.
        with self._reading:
            try:
                images = [to_rgb(image) for image in doc_to_visual(self.task_dict[task][split][doc_id])]
            except (OSError, SyntaxError) as error:
                raise SetupError(
                    f"{task} document {doc_id}: its image cannot be read ({error}) (remedy: copy it again)"
                ) from error
        try:
            return _request([_url(image) for image in images], context, settings)
        except ValueError as error:
            raise SetupError(
                f"{task} document {doc_id}: {error} (remedy: correct the task's prompt)"
            ) from error

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        raise NotImplementedError("an endpoint generates answers")

    def generate_until_multi_round(self, requests: list[Instance]) -> list[str]:
        raise NotImplementedError("an endpoint answers single questions")


def _request(images: list[str], question: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """A request with images as data URLs; a ValueError where the question says that it has others."""
    (question,) = with_images([question], len(images))
    urls = iter(images)
    content = [
        {"type": "image_url", "image_url": {"url": next(urls)}} if part["type"] == "image" else part
        for part in message_parts(question)
    ]
    options = generation_options(settings)
    sampled = {name: options[name] for name in ("temperature", "top_p") if options[name] is not None}
    ends = ends_of(settings)[:MOST_STOPS]
    return {
        "messages": [{"role": "user", "content": content}],
        "max_tokens": options["max_new_tokens"],
        **sampled,
        **({"stop": ends} if ends else {}),
    }


def _url(image: Image.Image) -> str:
    # Of the same pixels at any level; this one is the fastest.
    return data_url(image, "PNG", compress_level=1)
