"""Translate with an instruction-tuned language model (TranslateGemma, Tower, EuroLLM) in transformers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ndino.data.errors import DataError
from ndino.data.translation.engines.request import TranslationRequest, most_tokens
from ndino.formats.chat.instruct import InstructModel
from ndino.languages.language import Language

# A chat template that reads this takes the languages by their codes, and writes the request itself.
CODES_WANTED = "source_lang_code"


class LanguageModel:
    """Translates with ``model``, a folder or a hub id with a chat template; greedy, so texts repeat exactly.

    Raises:
        UsageError: no such folder, nor on the hub.
        DataError: the folder holds no language model.
    """

    def __init__(self, model: str, source: Language, target: Language) -> None:
        self._model = InstructModel(model, DataError)
        self._request = TranslationRequest(source, target)
        self.identity = (
            f"llm {self._model.fingerprint}, {source.code} to {target.code}, "
            f"prompt {self._request.identity}, greedy{', no thoughts' * self._model.may_think}"
        )

    def translate(self, texts: Sequence[str]) -> list[str | None]:
        """Translations in order; None for one that was stopped by the limit on its length.

        Raises:
            DataError: the model thinks before it translates, and cannot be told not to.
        """
        prompts = [self._encoded(text) for text in texts]
        done: dict[int, str | None] = {}
        for answers in self._model.answers(prompts, [most_tokens(text) for text in texts]):
            done.update((answer.place, answer.text if answer.whole else None) for answer in answers)
        return [done[i] for i in range(len(texts))]

    def _encoded(self, text: str) -> list[int]:
        coded = CODES_WANTED in self._model.tokenizer.chat_template
        content: Any = [self._request.coded(text)] if coded else self._request.prompt(text)
        return self._model.encoded(content)
