"""The models that judge: in a folder, from the hub, or behind an OpenAI-compatible server."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

from tqdm import tqdm

from ndino.common.endpoint import ChatEndpoint, Patience, Refused, Reply, Wording
from ndino.common.endpoint.address import is_address, split_address
from ndino.common.errors import UsageError
from ndino.common.interrupts import raise_if_interrupted
from ndino.evaluation.models import ENDPOINT_KEY
from ndino.formats.chat.instruct import InstructModel
from ndino.formats.prompts import control_tokens
from ndino.judge.errors import JudgeError
from ndino.judge.prompts import without_markers

# Of a verdict: a short sentence and the rating. A judge that has written more without one is not read.
MOST_TOKENS = 256
REQUESTS = 16  # at a time; a server that finds them too many gets fewer
WORDING = Wording(
    url="--judge",
    model="--judge URL#NAME with the name",
    requests="the load on it",
    key=ENDPOINT_KEY,
    refuses="to judge",
    able="serve a model with a chat template that takes one message of the user",
    error=JudgeError,
)
# Messages to the judge, with its answers between them.
Turns = Sequence[str]
# Gets a question's place and what the judge wrote; None where it gave no answer.
Take = Callable[[int, str | None], object]


class Judge(Protocol):
    """A model that is asked for verdicts; the same turns get the same verdict.

    Attributes:
        source: what the user named.
        identity: of all of it that verdicts depend on.
    """

    source: str

    @property
    def identity(self) -> str: ...

    def ask(self, questions: Sequence[Turns], take: Take) -> None:
        """Ask all questions; ``take`` gets each answer as soon as it is there, in any order."""
        ...


def open_judge(source: str) -> Judge:
    """The judge that ``source`` names; its model is loaded, or its server asked, for the first question.

    Raises:
        UsageError: no such folder, nor on the hub, or no address with a model's name.
        JudgeError: the folder holds no language model.
    """
    if not source.strip():
        raise UsageError(
            f"--judge {source!r}: names no model (remedy: a folder, a name on the hub, or URL#NAME)"
        )
    if is_address(source):
        address, name = split_address(source, WORDING.url, ENDPOINT_KEY)
        if not name:
            raise UsageError(f"--judge {address}: no model named (remedy: --judge {address}#NAME)")
        return ServedJudge(address, name)
    return FolderJudge(source)


def name_of_judge(judge: Judge) -> str:
    """The name of its folder of results: its own, with a part of its identity, since names repeat."""
    parts = [part for part in re.split(r"[/#\\]", judge.source) if part not in ("", "model")]
    name = re.sub(r"[^\w.-]+", "-", parts[-1]).strip(".-") or "judge"
    return f"{name[:60]}-{hashlib.sha256(judge.identity.encode()).hexdigest()[:6]}"


class FolderJudge:
    """A model in a folder or from the hub; greedy, in its own chat template, without thinking.

    Raises:
        UsageError: no such folder, nor on the hub.
        JudgeError: the folder holds no language model.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self._model = InstructModel(source, JudgeError)

    @property
    def identity(self) -> str:
        return f"folder {self._model.fingerprint}, greedy, {MOST_TOKENS} tokens, {_precision()}"

    def ask(self, questions: Sequence[Turns], take: Take) -> None:
        tokenizer = self._model.tokenizer
        tokens = control_tokens(tokenizer)
        prompts = [
            self._model.encoded(*(without_markers(text, tokens) for text in turns)) for turns in questions
        ]
        for answers in self._model.answers(prompts, [MOST_TOKENS] * len(prompts)):
            raise_if_interrupted()
            for answer in answers:
                take(answer.place, answer.text)


class ServedJudge:
    """``model``, as the server at ``url`` names it; temperature 0.

    Nothing tells whether a server has other weights behind the same name; its address is not part of the
    identity, since servers move.

    Raises:
        UsageError: ``url`` is no web address.
    """

    def __init__(self, url: str, model: str, patience: Patience | None = None) -> None:
        self.source = f"{url}#{model}"
        self.identity = f"served {model}, temperature 0, {MOST_TOKENS} tokens"
        self._endpoint = ChatEndpoint(
            url, model, WORDING, _request(["a"]), requests=REQUESTS, patience=patience, notice=_notice
        )

    def ask(self, questions: Sequence[Turns], take: Take) -> None:
        def taken(place: int, reply: Reply | Refused) -> None:
            take(place, reply.text if isinstance(reply, Reply) else None)

        if questions:
            self._endpoint.ask([partial(_request, turns) for turns in questions], taken)


def _notice(line: str) -> None:
    tqdm.write(f"ndino judge: {line}", file=sys.stderr)  # above the bar


def _request(turns: Turns) -> dict[str, Any]:
    messages = [
        {"role": "assistant" if place % 2 else "user", "content": text} for place, text in enumerate(turns)
    ]
    return {"messages": messages, "max_tokens": MOST_TOKENS}


def _precision() -> str:
    import torch

    return "bfloat16" if torch.cuda.is_available() else "float32"
