"""Translate with an instruction-tuned language model (TranslateGemma, Tower, EuroLLM) in transformers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ndino.common.errors import UsageError, reason_of
from ndino.common.files import fingerprint
from ndino.common.hub import may_be_on_hub, model_from_hub
from ndino.data.errors import DataError
from ndino.data.translation.engines.madlad import batches
from ndino.data.translation.engines.request import TranslationRequest, most_tokens
from ndino.languages.language import Language

FILES = ("*.safetensors", "*.json", "*.jinja", "*.model")
# Tokens of the prompts in a device batch, padding included. The answers are of about the same length, and the
# cache of both fits beside an 8B model in bfloat16 on a GPU of 40 GB.
CPU_TOKENS, CUDA_TOKENS = 2048, 16384
# A chat template that reads this takes the languages by their codes, and writes the request itself.
CODES_WANTED = "source_lang_code"


class LanguageModel:
    """Translates with ``model``, a folder or a hub id with a chat template; greedy, so texts repeat exactly.

    The model is loaded for the first text: bfloat16 on a GPU, float32 on a CPU. Code that a model brings
    along is never run.

    Raises:
        UsageError: no such folder, nor on the hub.
        DataError: the folder holds no language model.
    """

    def __init__(self, model: str, source: Language, target: Language) -> None:
        self._folder = _found(model)
        if not (self._folder / "config.json").is_file() or not list(self._folder.glob("*.safetensors")):
            raise DataError(
                f"{model}: no config.json or no *.safetensors, so not a language model of transformers "
                "(remedy: the folder of an instruction-tuned model as published)"
            )
        self._request = TranslationRequest(source, target)
        self._loaded_parts: tuple[Any, Any] | None = None
        self.identity = (
            f"llm {fingerprint(self._folder, FILES)}, {source.code} to {target.code}, "
            f"prompt {self._request.identity}, greedy"
        )

    def translate(self, texts: Sequence[str]) -> list[str | None]:
        """Translations in order; None for one that was stopped by the limit on its length."""
        tokenizer, model = self._loaded()
        prompts = [self._encoded(tokenizer, text) for text in texts]
        ends = _ends_of(model)
        done: dict[int, str | None] = {}
        budget = CUDA_TOKENS if model.device.type == "cuda" else CPU_TOKENS
        for batch in batches([len(prompt) for prompt in prompts], budget):
            limit = max(most_tokens(texts[i]) for i in batch)
            answers = _answers(model, [prompts[i] for i in batch], limit, min(ends))
            for i, answer in zip(batch, answers, strict=True):
                end = next((place for place, token in enumerate(answer) if token in ends), None)
                done[i] = None if end is None else tokenizer.decode(answer[:end], skip_special_tokens=True)
        return [done[i] for i in range(len(texts))]

    def _encoded(self, tokenizer: Any, text: str) -> list[int]:
        coded = CODES_WANTED in tokenizer.chat_template
        content: Any = [self._request.coded(text)] if coded else self._request.prompt(text)
        try:
            return tokenizer.apply_chat_template(
                [{"role": "user", "content": content}], add_generation_prompt=True, return_dict=False
            )
        except Exception as error:  # whatever the model's own template raises
            raise DataError(
                f"{self._folder}: its chat template fails: {reason_of(error)} "
                "(remedy: a model whose template takes one message of the user)"
            ) from error

    def _loaded(self) -> tuple[Any, Any]:
        if self._loaded_parts is None:
            import torch
            from transformers import AutoModelForCausalLM, AutoTokenizer

            cuda = torch.cuda.is_available()
            try:
                tokenizer = AutoTokenizer.from_pretrained(self._folder)
                model: Any = AutoModelForCausalLM.from_pretrained(
                    self._folder, dtype=torch.bfloat16 if cuda else torch.float32
                )
            except (ImportError, KeyError, OSError, ValueError) as error:
                raise DataError(
                    f"{self._folder}: {reason_of(error)} (remedy: a model that transformers loads without "
                    "code of its own, downloaded whole)"
                ) from error
            if not isinstance(tokenizer.chat_template, str):
                raise DataError(
                    f"{self._folder}: no chat template, so no instruction-tuned model "
                    "(remedy: the instruct version of the model)"
                )
            self._loaded_parts = tokenizer, model.eval().to("cuda" if cuda else "cpu")
        return self._loaded_parts


def _found(model: str) -> Path:
    if Path(model).is_dir():
        return Path(model)
    if not may_be_on_hub(model):
        raise UsageError(f"{model}: no such folder (remedy: the folder of a model, or its name on the hub)")
    return model_from_hub(model, FILES, "a machine with internet, or a folder")


def _ends_of(model: Any) -> set[int]:
    ends = model.generation_config.eos_token_id
    if ends is None:
        ends = model.config.get_text_config().eos_token_id
    return set(ends if isinstance(ends, list) else [ends])


def _answers(model: Any, prompts: Sequence[list[int]], limit: int, end: int) -> list[list[int]]:
    """The ids generated after each prompt, at most ``limit``; all of one length, padded with ``end``."""
    import torch

    longest = max(map(len, prompts))
    # Padded on the left, so that every answer begins behind its prompt.
    ids = torch.full((len(prompts), longest), end)
    mask = torch.zeros_like(ids)
    for row, its_mask, prompt in zip(ids, mask, prompts, strict=True):
        row[longest - len(prompt) :] = torch.tensor(prompt)
        its_mask[longest - len(prompt) :] = 1
    found = model.generate(
        input_ids=ids.to(model.device),
        attention_mask=mask.to(model.device),
        max_new_tokens=limit,
        pad_token_id=end,
        # Models come with settings for sampling, and some with a penalty.
        do_sample=False,
        num_beams=1,
        temperature=None,
        top_p=None,
        top_k=None,
        repetition_penalty=1.0,
    )
    return found[:, longest:].tolist()
