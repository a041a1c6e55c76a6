"""Translate with a model behind an OpenAI-compatible endpoint, such as vLLM or llama.cpp."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial

from tqdm import tqdm

from ndino.common.endpoint import ChatEndpoint, Patience, Refused, Reply, Wording
from ndino.data.errors import DataError
from ndino.data.translation.engines.request import TranslationRequest, most_tokens
from ndino.languages.language import Language

# The key is only read from here, and sent; no file, manifest or message holds it. Not OPENAI_API_KEY: a key
# that is there for another service must not be sent to any server that a command line names.
KEY_VARIABLE = "NDINO_TRANSLATOR_KEY"
WORDING = Wording(
    url="--translator-url",
    model="--translator-model",
    requests="--translator-requests",
    key=KEY_VARIABLE,
    refuses="to translate",
    able="a model with a chat template that takes one message of the user",
    error=DataError,
)


def _notice(line: str) -> None:
    tqdm.write(f"ndino data: {line}", file=sys.stderr)  # above the bar


class ServedModel:
    """Translates with ``model``, as the server at ``url`` names it; temperature 0.

    A batch is sent as ``requests`` requests at a time; see `ChatEndpoint`.

    Args:
        url: the base of the endpoint, such as ``http://node7:8000/v1``.

    Raises:
        UsageError: ``url`` is no web address.
    """

    def __init__(
        self,
        url: str,
        model: str,
        source: Language,
        target: Language,
        *,
        requests: int,
        patience: Patience | None = None,
    ) -> None:
        self._request = TranslationRequest(source, target)
        self._endpoint = ChatEndpoint(
            url, model, WORDING, self._asked("a"), requests=requests, patience=patience, notice=_notice
        )
        self.identity = (
            f"served {model}, {source.code} to {target.code}, prompt {self._request.identity}, temperature 0"
        )

    def translate(self, texts: Sequence[str]) -> list[str | None]:
        """Translations in order; None for one that did not come to its end, or that the server refuses.

        Raises:
            DataError: the server is not there, does not know the model or the key, fails again and again, or
                answers with reasoning and no text.
        """
        found: dict[int, str | None] = {}

        def take(place: int, reply: Reply | Refused) -> None:
            found[place] = reply.text if isinstance(reply, Reply) and reply.end != "length" else None

        self._endpoint.ask([partial(self._asked, text) for text in texts], take)
        return [found[place] for place in range(len(texts))]

    def _asked(self, text: str) -> dict[str, object]:
        message = {"role": "user", "content": self._request.prompt(text)}
        return {"messages": [message], "max_tokens": most_tokens(text)}
