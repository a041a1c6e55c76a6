"""Which model scores, how it is loaded, and what of that its scores depend on."""

from __future__ import annotations

from typing import Any

import torch
from transformers import LlavaNextProcessor

from ndino.common.errors import UsageError, reason_of, remedy_for
from ndino.evaluation.errors import SetupError
from ndino.evaluation.inference.loading import load_llava_next
from ndino.evaluation.models import HF, Backend, Model, parse_backend
from ndino.evaluation.perplexity.scorer import PerplexityError, Scorer
from ndino.evaluation.provenance import QUANTISED, arguments_of, device_kind
from ndino.formats.prompts import has_llama3_markers

ARGUMENTS = {"device", "device_map", "dtype", "attn_implementation", *QUANTISED}
DTYPES = ("auto", "float32", "bfloat16", "float16")


def scoring_backend(text: str = str(HF)) -> Backend:
    """Read ``hf[,key=value…]``, with the arguments of ``ndino evaluate``'s backend hf.

    The dtype is bfloat16 on a GPU and float32 on a CPU, unless it is given.

    Raises:
        UsageError: another backend or argument, or a value that the argument does not take.
    """
    backend = parse_backend(text)
    given = arguments_of(backend)
    known = ", ".join(f"{name}=" for name in sorted(ARGUMENTS))
    if backend.kind != HF.kind or not given.keys() <= ARGUMENTS:
        raise UsageError(f"--backend {text}: cannot score answers (remedy: hf with any of {known})")
    for name in QUANTISED & given.keys():
        if given[name].lower() not in ("true", "false"):
            raise UsageError(f"--backend {text}: {name} is {given[name]!r} (remedy: True or False)")
    if given.get("dtype", "auto") not in DTYPES:
        raise UsageError(f"--backend {text}: no such dtype (remedy: {', '.join(DTYPES)})")
    usual = "float32" if device_kind(given) == "cpu" else "bfloat16"
    # One way to write it is one key.
    bits = {name: "True" for name in QUANTISED & given.keys() if given[name].lower() == "true"}
    arguments = {"dtype": usual, **{name: given[name] for name in given if name not in QUANTISED}, **bits}
    return Backend("perplexity", ",".join(f"{name}={value}" for name, value in arguments.items()))


def load_scorer(model: Model, backend: Backend | None = None) -> Scorer:
    """Load a LLaVA-NeXT as `scoring_backend` says.

    Raises:
        PerplexityError: a file is broken, weights are missing or not finite, or there are neither LLaMA 3's
            markers nor a chat template.
    """
    given: dict[str, Any] = arguments_of(backend or scoring_backend())
    given |= dict.fromkeys(QUANTISED & given.keys(), True)
    device = torch.device(given.pop("device", None) or device_kind(given))
    try:
        processor = LlavaNextProcessor.from_pretrained(model.path)
        loaded = load_llava_next(model.path, device, **given)
    except SetupError as error:
        raise PerplexityError(str(error)) from error
    except Exception as error:  # every reader has errors of its own
        remedy = remedy_for(error, "save or copy the model again")
        raise PerplexityError(
            f"{model.source}: cannot be loaded: {reason_of(error)} (remedy: {remedy})"
        ) from error
    tokenizer = processor.tokenizer
    if not (has_llama3_markers(tokenizer) or processor.chat_template or tokenizer.chat_template):
        raise PerplexityError(f"{model.source}: has no chat template (remedy: save the model with one)")
    return Scorer(loaded, processor)
