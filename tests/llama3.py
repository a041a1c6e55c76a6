"""The real LLaMA 3 tokenizer for tests, from the vocabulary that the ``llama-models`` package carries."""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path

from transformers import PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import TikTokenConverter

from ndino.formats.prompts import (
    BEGIN_OF_TEXT,
    END_HEADER,
    END_OF_TEXT,
    END_OF_TURN,
    IMAGE_TOKEN,
    START_HEADER,
)

# LLaMA 3.0 has 256 special tokens from id 128000 on; the unnamed ones are reserved.
NAMED = {0: BEGIN_OF_TEXT, 1: END_OF_TEXT, 6: START_HEADER, 7: END_HEADER, 9: END_OF_TURN}


@lru_cache
def llama3_tokenizer() -> PreTrainedTokenizerFast:
    """LLaMA 3's tokenizer plus ``<image>`` (id 128256)."""
    package = importlib.util.find_spec("llama_models").submodule_search_locations[0]
    vocabulary = Path(package) / "llama3" / "tokenizer.model"
    reserved = iter(range(256))
    special = [NAMED.get(i) or f"<|reserved_special_token_{next(reserved)}|>" for i in range(256)]
    converter = TikTokenConverter(vocab_file=str(vocabulary), extra_special_tokens=special)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=converter.converted(), bos_token=BEGIN_OF_TEXT, eos_token=END_OF_TEXT
    )
    tokenizer.add_special_tokens({"additional_special_tokens": [IMAGE_TOKEN]})
    return tokenizer
