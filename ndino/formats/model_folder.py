"""The layout of the model folders we save: weight names, tokenizer, settings. Both engines save through this.

transformers 4.57 and 5.x both load the folders. Weights have the names of the hub's LLaVA-NeXT models. Where
the two versions store a setting in different places, it is rewritten to a form that both read: what
transformers 5 saves by itself, 4.57 refuses (the tokenizer) or misreads without a word (rope_theta).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.processors import ByteLevel, TemplateProcessing
from transformers import GenerationConfig, LlavaNextProcessor, PreTrainedTokenizerFast

from ndino.common.files import write_json
from ndino.common.parsing import read_json
from ndino.common.transformers_types import special_tokens
from ndino.formats.chat.published import saved_template
from ndino.formats.prompts import (
    END_OF_TEXT,
    END_OF_TURN,
    IMAGE_TOKEN,
    MARKERS,
    PromptFormat,
    has_llama3_markers,
)

# LLaMA 3 has no pad token. Code that falls back to id 0 masks every "!", which is LLaMA 3's token 0.
PAD_TOKEN = "<|pad|>"
VOCABULARY_MULTIPLE = 64  # rows; matrix products are faster on GPUs with such sizes

# transformers 5's prefix and the saved one. Order matters: the first match decides.
_PREFIXES = {
    "model.language_model.": "language_model.model.",
    "lm_head.": "language_model.lm_head.",
    "model.vision_tower.": "vision_tower.vision_model.",
    "model.": "",
}
# Fields in which transformers records local paths and settings; no reader needs them.
_LOCAL = ("_name_or_path", "is_local", "local_files_only")


def missing_weights(loading: Mapping[str, Any]) -> str:
    """The weights missing from a folder, as text for an error; empty where none is.

    ``loading`` is the ``output_loading_info`` of ``from_pretrained``, which initialises missing weights at
    random and only warns. It must be called with ``ignore_mismatched_sizes``: without it, weights of another
    size are an error that names none of them.
    """
    if other := sorted(loading.get("mismatched_keys", ())):
        name, held, wanted = other[0]
        return (
            f"{len(other)} weights are not of the size that config.json gives them: {name} is "
            f"{_size(held)} in the weights and {_size(wanted)} by config.json"
        )
    missing = sorted(loading["missing_keys"])
    return f"{len(missing)} weights are missing, {missing[0]} among them" if missing else ""


def _size(shape: Iterable[int]) -> str:
    return " x ".join(map(str, shape))


def saved_name(name: str) -> str:
    """The name under which we save the weight that transformers 5 calls ``name``."""
    for ours, theirs in _PREFIXES.items():
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    return name


def padded_vocabulary(size: int) -> int:
    """``size`` rounded up to a multiple of ``VOCABULARY_MULTIPLE``."""
    return math.ceil(size / VOCABULARY_MULTIPLE) * VOCABULARY_MULTIPLE


def prepare_tokenizer(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """Add ``<image>`` and a pad token to a tokenizer, and stop it from adding tokens by itself; in place.

    A pad token that has a meaning of its own is replaced: what is masked as padding would be masked where it
    stands in the text as well. Many models derived from LLaMA 3 pad with ``<|end_of_text|>`` or
    ``<|eot_id|>``, and would never learn to end an answer; so would those whose chat template has the token.
    """
    tokenizer.add_special_tokens(
        {"additional_special_tokens": [IMAGE_TOKEN]},
        False,  # keep the present ones; by position, since transformers 4 and 5 name this differently
    )
    special = special_tokens(tokenizer)
    pad = tokenizer.pad_token
    meaningful = (*MARKERS, IMAGE_TOKEN, special.bos_token, special.eos_token, tokenizer.unk_token)
    in_template = pad is not None and str(pad) in str(tokenizer.chat_template)
    if pad is None or in_template or pad in meaningful or pad not in tokenizer.added_tokens_encoder:
        tokenizer.add_special_tokens({"pad_token": PAD_TOKEN})
    # prompts.py and the chat template write BOS; a tokenizer that adds its own would make it two. Most add it
    # in the post-processor, and evaluation harnesses do not switch that off.
    if tokenizer("a")["input_ids"] != tokenizer("a", add_special_tokens=False)["input_ids"]:
        # They would bring it back when it is loaded.
        tokenizer.add_bos_token = tokenizer.add_eos_token = False
        backend = tokenizer.backend_tokenizer
        byte_level = isinstance(backend.decoder, ByteLevelDecoder)
        backend.post_processor = (
            ByteLevel(trim_offsets=False) if byte_level else TemplateProcessing("$A", "$A $B")
        )
    return tokenizer


def build_processor(
    tokenizer: PreTrainedTokenizerFast, image_processor: Any, *, patch_size: int, class_token: bool = True
) -> LlavaNextProcessor:
    """Join tokenizer and image processor.

    Args:
        patch_size: the vision tower's, in pixels.
        class_token: whether the tower gives a class token, as a CLIP does.
    """
    return LlavaNextProcessor(
        image_processor=image_processor,
        tokenizer=tokenizer,
        patch_size=patch_size,
        # The class token, which the "default" strategy drops again.
        vision_feature_select_strategy="default" if class_token else "full",
        num_additional_image_tokens=int(class_token),
        image_token=IMAGE_TOKEN,
        chat_template=saved_template(tokenizer),
    )


def set_end_of_answer(tokenizer: PreTrainedTokenizerFast, prompt: PromptFormat) -> GenerationConfig:
    """Set the tokenizer's end-of-sequence token to the marker that ends ``prompt``'s answers.

    Evaluation harnesses stop at that token, whatever the generation settings say. The generation settings,
    which are returned, stop at both markers.
    """
    ends = [tokenizer.eos_token_id]  # with prompt: chat set by `ndino.formats.chat.prompt.chat_prompt`
    if prompt != "chat" and has_llama3_markers(tokenizer):
        tokenizer.eos_token = END_OF_TURN if prompt == "llama3" else END_OF_TEXT
        ends = tokenizer.convert_tokens_to_ids([END_OF_TEXT, END_OF_TURN])
    return GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=ends,
        pad_token_id=tokenizer.pad_token_id,
        do_sample=False,
    )


def make_portable(folder: Path, *, dtype: str | None = None) -> None:
    """Rewrite the settings of a folder that transformers 5 saved, so that 4.57 reads the same values.

    Args:
        dtype: that of the weights, such as ``bfloat16``, where the configuration has to say it.
    """
    _rewrite(folder / "tokenizer_config.json", make_tokenizer_portable)

    def settle(config: dict[str, Any]) -> None:
        _make_config_portable(config)
        for part in (config, *(value for value in config.values() if isinstance(value, dict))):
            if dtype is not None and "dtype" in part:
                part["dtype"] = dtype

    _rewrite(folder / "config.json", settle)


def make_tokenizer_portable(settings: dict[str, Any]) -> None:
    """Rewrite the content of a tokenizer_config.json in place, to names that transformers 4.x reads."""
    # transformers 5 writes a tokenizer class that 4.x does not have (TokenizersBackend) and renames the list
    # of special tokens. Both versions read the older names.
    settings["tokenizer_class"] = "PreTrainedTokenizerFast"
    settings["model_input_names"] = ["input_ids", "attention_mask"]
    if "extra_special_tokens" in settings:
        settings["additional_special_tokens"] = settings.pop("extra_special_tokens")


def make_rope_portable(text: dict[str, Any]) -> None:
    """Rewrite the rotary-embedding settings of a language model's config in place."""
    # transformers 5 nests rope_theta in rope_parameters. 4.x does not look there, and silently uses 10,000
    # instead of LLaMA 3's 500,000.
    rope = dict(text.pop("rope_parameters", None) or {})
    if rope.keys() == {"full_attention", "sliding_attention"}:
        # Gemma 3: layers with a sliding window have a frequency of their own.
        text["rope_local_base_freq"] = rope["sliding_attention"]["rope_theta"]
        rope = dict(rope["full_attention"])
    if "rope_theta" not in rope:
        text |= {"rope_parameters": rope} if rope else {}  # of a layout that 4.x never had
    else:
        text["rope_theta"] = rope.pop("rope_theta")
        text["rope_scaling"] = None if rope["rope_type"] == "default" else rope


def _make_config_portable(config: dict[str, Any]) -> None:
    make_rope_portable(config["text_config"])


def _rewrite(path: Path, settle: Callable[[dict[str, Any]], None]) -> None:
    settings = read_json(path)
    settle(settings)
    for part in (settings, *(value for value in settings.values() if isinstance(value, dict))):
        for name in _LOCAL:
            part.pop(name, None)
    write_json(path, settings)
