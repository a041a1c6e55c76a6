"""What a published model folder looks like, whichever engine trained it: both engines write through here.

The folders are read by transformers 4.57 and by 5.x. Weights have the names of the hub's LLaVA-NeXT models,
and the settings stand where both versions look for them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from tokenizers.processors import ByteLevel
from transformers import GenerationConfig, LlavaNextProcessor, PreTrainedTokenizerFast

from ndino.common.files import write_json
from ndino.formats.prompts import END_OF_TEXT, END_OF_TURN, IMAGE_TOKEN, LLAMA3_CHAT_TEMPLATE

# A pad token of its own: LLaMA 3 has none, and borrowing id 0 would hide every "!" from training.
PAD_TOKEN = "<|pad|>"
VOCABULARY_MULTIPLE = 64

# Order matters: the first prefix that fits decides.
_PREFIXES = {
    "model.language_model.": "language_model.model.",
    "lm_head.": "language_model.lm_head.",
    "model.vision_tower.": "vision_tower.vision_model.",
    "model.": "",
}
# What transformers notes of this machine; no reader needs it.
_LOCAL = ("_name_or_path", "is_local", "local_files_only")


def missing_weights(loading: Mapping[str, Any]) -> str:
    """What a folder lacks, from the ``output_loading_info`` of ``from_pretrained``; empty where it is whole.

    Transformers draws missing weights at random and goes on.
    """
    missing = sorted(loading["missing_keys"])
    return f"{len(missing)} weights are missing, {missing[0]} among them" if missing else ""


def published_name(name: str) -> str:
    """The published name of a weight that transformers 5 calls ``name``."""
    for ours, theirs in _PREFIXES.items():
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    return name


def padded_vocabulary(size: int) -> int:
    """``size`` tokens rounded up to the multiple that embeddings are published in."""
    return math.ceil(size / VOCABULARY_MULTIPLE) * VOCABULARY_MULTIPLE


def prepare_tokenizer(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """Give a LLaMA 3 tokenizer ``<image>`` and a pad token, and let it add no BOS by itself; in place."""
    tokenizer.add_special_tokens(
        {"additional_special_tokens": [IMAGE_TOKEN]},
        False,  # keep those it has; transformers 4 and 5 name this differently
    )
    if tokenizer.pad_token is None:
        tokenizer.add_special_tokens({"pad_token": PAD_TOKEN})
    # prompts.py writes BOS itself, and so does the chat template: a second one must not creep in.
    if tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]:
        tokenizer.backend_tokenizer.post_processor = ByteLevel(trim_offsets=False)
    return tokenizer


def build_processor(
    tokenizer: PreTrainedTokenizerFast, image_processor: Any, *, patch_size: int
) -> LlavaNextProcessor:
    """Join tokenizer and image processor; ``patch_size`` is the tower's, in pixels."""
    return LlavaNextProcessor(
        image_processor=image_processor,
        tokenizer=tokenizer,
        patch_size=patch_size,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        image_token=IMAGE_TOKEN,
        chat_template=LLAMA3_CHAT_TEMPLATE,
    )


def settle_ending(tokenizer: PreTrainedTokenizerFast, prompt: Literal["plain", "llama3"]) -> GenerationConfig:
    """Make the marker that closes ``prompt``'s answers the tokenizer's end of sequence.

    Harnesses stop there, whatever the generation settings say; these, returned, stop at both markers.
    """
    tokenizer.eos_token = END_OF_TURN if prompt == "llama3" else END_OF_TEXT
    return GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.convert_tokens_to_ids([END_OF_TEXT, END_OF_TURN]),
        pad_token_id=tokenizer.pad_token_id,
        do_sample=False,
    )


def settle_files(folder: Path) -> None:
    """Rewrite the settings of a folder that transformers 5 saved, so that 4.57 reads the same from them."""
    _rewrite(folder / "tokenizer_config.json", settle_tokenizer)
    _rewrite(folder / "config.json", _settle_config)


def settle_tokenizer(settings: dict[str, Any]) -> None:
    """Rewrite the content of a tokenizer_config.json in place."""
    # transformers 5 names a class and keeps a list of special tokens as 4.x cannot read them; this both can.
    settings["tokenizer_class"] = "PreTrainedTokenizerFast"
    settings["model_input_names"] = ["input_ids", "attention_mask"]
    if "extra_special_tokens" in settings:
        settings["additional_special_tokens"] = settings.pop("extra_special_tokens")


def settle_rope(text: dict[str, Any]) -> None:
    """Rewrite the rotary settings of a LLaMA's config in place."""
    # In 5's form of it, 4.x overlooks rope_theta and silently takes 10,000 for LLaMA 3's 500,000.
    rope = dict(text.pop("rope_parameters", None) or {})
    if rope:
        text["rope_theta"] = rope.pop("rope_theta")
        text["rope_scaling"] = None if rope["rope_type"] == "default" else rope


def _settle_config(config: dict[str, Any]) -> None:
    settle_rope(config["text_config"])


def _rewrite(path: Path, settle) -> None:
    settings = json.loads(path.read_text(encoding="utf-8"))
    settle(settings)
    for part in (settings, *(value for value in settings.values() if isinstance(value, dict))):
        for name in _LOCAL:
            part.pop(name, None)
    write_json(path, settings)
