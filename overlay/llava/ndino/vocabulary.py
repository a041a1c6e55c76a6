"""Adds ``<image>`` and a pad token to the tokenizer, and rows for them to the embeddings."""

from __future__ import annotations

import contextlib

import torch
from llava.ndino.prompts import PromptSettings
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ndino.formats.model_folder import padded_vocabulary, prepare_tokenizer


def prepare_vocabulary(tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel, data_args) -> None:
    """Prepare ``tokenizer`` and enlarge ``model`` as the native engine does; new rows are the old rows' mean.

    Without a pad token, upstream pads with id 0 and masks every id 0. In LLaMA 3 that is "!", so each "!" in
    the data and its label would silently be left out of training.
    """
    prepare_tokenizer(tokenizer)
    tokenizer.ndino_prompt_settings = PromptSettings(data_args.supervision, data_args.plain_ending)
    old_size = model.config.vocab_size
    size = padded_vocabulary(max(len(tokenizer), old_size))
    if size != old_size:
        model.resize_token_embeddings(size)
        for weight in {model.get_input_embeddings().weight, model.get_output_embeddings().weight}:
            with _gathered(weight), torch.no_grad():
                weight[old_size:] = weight[:old_size].mean(dim=0)
    model.config.pad_token_id = tokenizer.pad_token_id


def _gathered(weight: torch.nn.Parameter) -> contextlib.AbstractContextManager:
    if not hasattr(weight, "ds_id"):
        return contextlib.nullcontext()
    from deepspeed import zero

    return zero.GatheredParameters([weight], modifier_rank=0)
