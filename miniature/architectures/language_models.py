"""Kinds of language models: what each brings along besides its weights, at the miniature's size.

A kind has the architecture, the special tokens, the way of splitting text and the chat template of a family
of models. LLaMA 3 has no template: as in the paper it starts from the base model, and Listing 2 is ours.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast

from ndino.common.parsing import parse_json
from ndino.formats.prompts import BEGIN_OF_TEXT, END_OF_TEXT, MARKERS

VOCABULARY = 2048

# How LLaMA 3 splits text before byte pairs are merged, and with single digits Qwen.
_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_SPACE = "▁"
_BYTES = [f"<0x{byte:02X}>" for byte in range(256)]

# An answer to the last question begins with an empty thought, as Qwen3's does when it is not to think.
_NO_THOUGHT = "<think>\\n\\n</think>\\n\\n"
_QWEN3 = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' }}"
    "{% if m['role'] == 'assistant' and loop.last %}{{ '" + _NO_THOUGHT + "' }}{% endif %}"
    "{{ m['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}"
    "{% if enable_thinking is defined and not enable_thinking %}{{ '"
    + _NO_THOUGHT
    + "' }}{% endif %}{% endif %}"
)
_GEMMA3 = (
    "{{ bos_token }}{% for m in messages %}"
    "{{ '<start_of_turn>' + ('model' if m['role'] == 'assistant' else m['role']) + '\\n' }}"
    "{{ m['content'] | trim }}{{ '<end_of_turn>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"
)
_MISTRAL = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}"
    "{% else %}{{ ' ' + m['content'] + eos_token }}{% endif %}{% endfor %}"
)


@dataclass(frozen=True)
class LanguageKind:
    """A kind of language model.

    Attributes:
        model_type: its architecture's name in transformers.
        special: its special tokens, in the order of their ids.
        end: the special token that ends a text.
        begin: the one that begins it, if there is one.
        chat_template: of its instruction-tuned models.
        digits: a regular expression of the digits that stay together; None if spaces are written as "▁" and
            unknown characters as bytes, as SentencePiece does, instead of all text as bytes.
        settings: of its configuration, besides sizes.
    """

    model_type: str
    special: tuple[str, ...]
    end: str
    begin: str | None = None
    chat_template: str | None = None
    digits: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


LANGUAGE_KINDS = {
    "llama": LanguageKind(
        "llama",
        MARKERS,
        END_OF_TEXT,
        BEGIN_OF_TEXT,
        digits=r"\p{N}{1,3}",
        settings={"tie_word_embeddings": False},
    ),
    "qwen3": LanguageKind(
        "qwen3",
        ("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
        "<|endoftext|>",
        chat_template=_QWEN3,
        digits=r"\p{N}",
        settings={"head_dim": 32, "tie_word_embeddings": True},
    ),
    "gemma3": LanguageKind(
        "gemma3_text",
        ("<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"),
        "<eos>",
        "<bos>",
        chat_template=_GEMMA3,
        settings={
            "head_dim": 32,
            "query_pre_attn_scalar": 32,
            "sliding_window": 64,
            "layer_types": ["sliding_attention", "sliding_attention", "full_attention"],
            "tie_word_embeddings": True,
        },
    ),
    "mistral": LanguageKind(
        "mistral",
        ("<unk>", "<s>", "</s>", "[INST]", "[/INST]"),
        "</s>",
        "<s>",
        chat_template=_MISTRAL,
        settings={"sliding_window": None, "tie_word_embeddings": False},
    ),
}


def train_tokenizer(texts: Iterable[str], kind: LanguageKind) -> PreTrainedTokenizerFast:
    """A tokenizer of this kind, trained on ``texts``."""
    # Repeated so that BPE merges the role names of the headers, which are single tokens in LLaMA 3. Only
    # "user" becomes one: "assistant" is learned with the space before it.
    repeated = [*texts, *["user assistant\n\n"] * 100]
    backend = _byte_level(repeated, kind) if kind.digits else _with_spaces(repeated, kind)
    named = {"bos_token": kind.begin, "pad_token": "<pad>", "unk_token": "<unk>"}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token=kind.end,
        clean_up_tokenization_spaces=False,
        **{role: token for role, token in named.items() if token in kind.special},
    )
    if kind.chat_template:
        tokenizer.chat_template = kind.chat_template
    return tokenizer


def _byte_level(texts: Iterable[str], kind: LanguageKind) -> Tokenizer:
    backend = Tokenizer(BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PATTERN.format(digits=kind.digits)), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(kind.special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    return backend


def _with_spaces(texts: Iterable[str], kind: LanguageKind) -> Tokenizer:
    backend = Tokenizer(BPE(unk_token="<unk>", byte_fallback=True))
    backend.normalizer = normalizers.Replace(" ", _SPACE)
    # Line breaks are tokens of their own: the one that ends a header must not join the answer's first word.
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(r"\n+"), "isolated"), pre_tokenizers.Split(_SPACE, "merged_with_next")]
    )
    backend.decoder = decoders.Sequence(
        [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    trainer = BpeTrainer(vocab_size=VOCABULARY, special_tokens=[*kind.special, *_BYTES], show_progress=False)
    backend.train_from_iterator(texts, trainer)
    # The trainer takes bytes in as special tokens, which a text could name.
    state = parse_json(backend.to_str())
    state["added_tokens"] = [token for token in state["added_tokens"] if token["content"] in kind.special]
    backend = Tokenizer.from_str(json.dumps(state))
    backend.post_processor = processors.TemplateProcessing(
        single=f"{kind.begin} $A",
        special_tokens=[(str(kind.begin), backend.token_to_id(str(kind.begin)))],
    )
    return backend
