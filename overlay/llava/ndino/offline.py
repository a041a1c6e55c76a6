"""A tokenizer that is loaded on first use instead of at import.

``llava/conversation.py`` loads the tokenizer of the gated meta-llama/Meta-Llama-3-8B-Instruct when it is
imported. Without a login or a network nothing in LLaVA-NeXT would start, although training never uses this
tokenizer.
"""

from __future__ import annotations

import functools

import transformers


class LazyTokenizer:
    """Calls ``transformers.AutoTokenizer.from_pretrained(*arguments, **options)`` when it is first used."""

    def __init__(self, *arguments, **options) -> None:
        self._load = functools.lru_cache(
            lambda: transformers.AutoTokenizer.from_pretrained(*arguments, **options)
        )

    def __getattr__(self, name: str):
        # copy and pickle look these up on an object whose __init__ has not run: it has no _load yet.
        if name.startswith("__") or name == "_load":
            raise AttributeError(name)
        return getattr(self._load(), name)

    def __call__(self, *arguments, **options):
        return self._load()(*arguments, **options)


class AutoTokenizer:
    """Replaces transformers' class of this name in ``llava/conversation.py``."""

    from_pretrained = LazyTokenizer
