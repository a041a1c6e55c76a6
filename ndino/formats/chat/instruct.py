"""An instruction-tuned language model of transformers, asked single questions in batches; greedy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ndino.common.endpoint.thoughts import MARKS, begun_thought, without_thought
from ndino.common.errors import UsageError, UserError, reason_of
from ndino.common.files import fingerprint
from ndino.common.hub import may_be_on_hub, model_from_hub
from ndino.formats.chat.published import thinking_off
from ndino.formats.token_batches import batches

FILES = ("*.safetensors", "*.json", "*.jinja", "*.model")
# Tokens of the prompts in a device batch, padding included. The answers are of about the same length, and the
# cache of both fits beside an 8B model in bfloat16 on a GPU of 40 GB.
CPU_TOKENS, CUDA_TOKENS = 2048, 16384
LONGEST_MARK = 16  # tokens of a thought's beginning, and of the spaces behind it


@dataclass(frozen=True)
class InstructAnswer:
    """What the model wrote for the question in ``place``.

    Attributes:
        text: without thoughts; empty where one has no end.
        whole: whether the answer came to its end.
    """

    place: int
    text: str
    whole: bool


class InstructModel:
    """``model``, a folder or a hub id, with the chat template of its tokenizer, and without thinking.

    It is loaded for the first question: bfloat16 on a GPU, float32 on a CPU. Code that a model brings along
    is never run.

    Args:
        error: what is raised for a folder that is no such model.

    Raises:
        UsageError: no such folder, nor on the hub.
        UserError: the folder holds no language model; by ``error``.
    """

    def __init__(self, model: str, error: type[UserError]) -> None:
        self.folder = _found(model)
        self._error = error
        self._answers = False  # whether anything that it wrote was more than a thought
        if not (self.folder / "config.json").is_file() or not list(self.folder.glob("*.safetensors")):
            raise error(
                f"{model}: no config.json or no *.safetensors, so not a language model of transformers "
                "(remedy: the folder of an instruction-tuned model as published)"
            )

    @cached_property
    def fingerprint(self) -> str:
        """A hash of weights, settings, tokenizer and template."""
        return fingerprint(self.folder, FILES)

    @property
    def tokenizer(self) -> Any:
        return self._loaded[0]

    @cached_property
    def may_think(self) -> bool:
        """Whether its tokenizer or template knows thoughts; earlier versions took them for answers."""
        files = (self.folder / name for name in ("chat_template.jinja", "tokenizer_config.json"))
        text = "".join(file.read_text(encoding="utf-8") for file in files if file.is_file())
        return bool(thinking_off(text)) or any(begin in text for begin, _ in MARKS)

    def encoded(self, *turns: Any) -> list[int]:
        """The ids of the prompt for a message of the user, or for several with the model's answers between.

        Raises:
            UserError: the template fails; by the class that the model was made with.
        """
        try:
            return self.tokenizer.apply_chat_template(
                [
                    {"role": "assistant" if place % 2 else "user", "content": content}
                    for place, content in enumerate(turns)
                ],
                add_generation_prompt=True,
                return_dict=False,
                **thinking_off(self.tokenizer.chat_template),
            )
        except Exception as error:  # whatever the model's own template raises
            raise self._error(
                f"{self.folder}: its chat template fails: {reason_of(error)} "
                "(remedy: a model whose template takes one message of the user)"
            ) from error

    def answers(self, prompts: Sequence[list[int]], limits: Sequence[int]) -> Iterator[list[InstructAnswer]]:
        """The answers to ``prompts`` batch by batch, longest prompts first.

        Args:
            limits: the most tokens of each answer; a batch has the largest of its own.

        Raises:
            UserError: all of the first batch are thoughts without an end; by the class that the model was
                made with.
        """
        _, model = self._loaded
        ends = _ends_of(model)
        budget = CUDA_TOKENS if model.device.type == "cuda" else CPU_TOKENS
        for batch in batches([len(prompt) for prompt in prompts], budget):
            limit = max(limits[i] for i in batch)
            found = []
            for i, ids in zip(
                batch, _generated(model, [prompts[i] for i in batch], limit, min(ends)), strict=True
            ):
                end = next((place for place, token in enumerate(ids) if token in ends), None)
                text = self._answer(prompts[i], ids[:end])
                found.append(InstructAnswer(i, text or "", end is not None and text is not None))
                self._answers = self._answers or text is not None
            if not self._answers:
                raise self._error(
                    f"{self.folder}: thinks before it answers, and no thought ends within {limit} tokens "
                    "(remedy: a model that answers at once, or whose chat template can switch thinking off)"
                )
            yield found

    def _answer(self, prompt: Sequence[int], ids: Sequence[int]) -> str | None:
        """The text of an answer without its thought; None where that has no end."""
        # A thought's marks may be special tokens.
        whole = begun_thought(self.tokenizer.decode(prompt[-LONGEST_MARK:])) + self.tokenizer.decode(ids)
        answer = without_thought(whole)
        if answer is None:
            return None
        if answer == whole:
            return self.tokenizer.decode(ids, skip_special_tokens=True)
        for token in self.tokenizer.all_special_tokens:
            answer = answer.replace(token, "")
        return answer

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        cuda = torch.cuda.is_available()
        try:
            tokenizer = AutoTokenizer.from_pretrained(self.folder)
            model: Any = AutoModelForCausalLM.from_pretrained(
                self.folder, dtype=torch.bfloat16 if cuda else torch.float32
            )
        except (ImportError, KeyError, OSError, ValueError) as error:
            raise self._error(
                f"{self.folder}: {reason_of(error)} (remedy: a model that transformers loads without "
                "code of its own, downloaded whole)"
            ) from error
        if not isinstance(tokenizer.chat_template, str):
            raise self._error(
                f"{self.folder}: no chat template, so no instruction-tuned model "
                "(remedy: the instruct version of the model)"
            )
        return tokenizer, model.eval().to("cuda" if cuda else "cpu")


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


def _generated(model: Any, prompts: Sequence[list[int]], limit: int, end: int) -> list[list[int]]:
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
