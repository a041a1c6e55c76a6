"""A tokenizer that is fetched when it is first used.

``llava/conversation.py`` loads the tokenizer of the gated meta-llama/Meta-Llama-3-8B-Instruct while it is
imported, so that without a login or a network nothing of LLaVA-NeXT starts.
"""

from __future__ import annotations

import functools

import transformers


class LazyTokenizer:
    """Stands for ``transformers.AutoTokenizer.from_pretrained(*arguments, **options)`` until it is needed."""

    def __init__(self, *arguments, **options) -> None:
        self._load = functools.lru_cache(
            lambda: transformers.AutoTokenizer.from_pretrained(*arguments, **options)
        )

    def __getattr__(self, name: str):
        # copy and pickle ask for these of an object that has no _load yet.
        if name.startswith("__") or name == "_load":
            raise AttributeError(name)
        return getattr(self._load(), name)

    def __call__(self, *arguments, **options):
        return self._load()(*arguments, **options)


class AutoTokenizer:
    """What ``llava/conversation.py`` uses of transformers' class of this name."""

    from_pretrained = LazyTokenizer
