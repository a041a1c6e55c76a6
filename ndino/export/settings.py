"""The converted model's configuration and tokenizer, from those of the checkpoint and its tower only."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from transformers import LlamaConfig, LlavaNextConfig, PreTrainedConfig, PreTrainedTokenizerFast

from ndino.common.errors import shown
from ndino.common.parsing import parse_json
from ndino.common.transformers_types import special_tokens, token_id, vision_sizes
from ndino.export.checkpoint import Checkpoint
from ndino.export.errors import ConversionError, settings_of
from ndino.export.names import EMBEDDINGS
from ndino.export.tower import Tower
from ndino.formats.model_folder import padded_vocabulary, prepare_tokenizer
from ndino.formats.prompts import IMAGE_TOKEN, MARKERS

_PINPOINTS = "a list of (width, height) in pixels"
# Fields of a LLaMA without a safe default: a wrong guess would silently change the logits.
_TEXT_REQUIRED = (
    "hidden_act",
    "hidden_size",
    "intermediate_size",
    "max_position_embeddings",
    "num_attention_heads",
    "num_hidden_layers",
    "rms_norm_eps",
    "rope_theta",
    "vocab_size",
)
_TEXT_OPTIONAL = (
    "attention_bias",
    "attention_dropout",
    "head_dim",
    "initializer_range",
    "mlp_bias",
    "num_key_value_heads",
    "rope_scaling",
    "tie_word_embeddings",
)
# The one value that Hugging Face's LLaVA-NeXT implements, and upstream's default for a missing field.
_FIXED = {
    "image_aspect_ratio": ("anyres", "square"),
    "mm_patch_merge_type": ("spatial_unpad", "flat"),
    "mm_projector_type": ("mlp2x_gelu", "linear"),
    "mm_resampler_type": (None, None),
    "mm_use_im_start_end": (False, False),
    "mm_vision_select_feature": ("patch", "patch"),
    "s2": (False, False),
}
_RANGE = re.compile(r"\((\d+)x(\d+)\)")


def require(checkpoint: Checkpoint, field: str) -> Any:
    """A field of the checkpoint's config.json.

    Raises:
        ConversionError: it is missing or null.
    """
    value = checkpoint.config.get(field)
    if value is None:
        raise ConversionError(
            f"{checkpoint.folder / 'config.json'}: the field {field} is missing (remedy: fetch it again)"
        )
    return value


def check_kind(checkpoint: Checkpoint) -> None:
    """Check that Hugging Face's LLaVA-NeXT implements what the checkpoint's config.json says.

    Raises:
        ConversionError: it does not; names the field.
    """
    path = checkpoint.folder / "config.json"
    for field, (expected, default) in _FIXED.items():
        if checkpoint.config.get(field, default) != expected:
            raise ConversionError(
                f"{path}: {field} is {checkpoint.config.get(field, default)}; Hugging Face's LLaVA-NeXT "
                f"implements only {expected} (remedy: give a model trained so)"
            )


def build_config(checkpoint: Checkpoint, tower: Tower, tokenizer: PreTrainedTokenizerFast) -> LlavaNextConfig:
    """The configuration of the converted model.

    Raises:
        ConversionError: a field is missing or out of range, or the checkpoint has no embeddings.
    """
    text = {field: require(checkpoint, field) for field in _TEXT_REQUIRED}
    text |= {field: checkpoint.config[field] for field in _TEXT_OPTIONAL if field in checkpoint.config}
    text["vocab_size"] = padded_vocabulary(max(text["vocab_size"], len(tokenizer)))
    layer = require(checkpoint, "mm_vision_select_layer")
    layers = tower.config.num_hidden_layers
    if not isinstance(layer, int) or not -layers - 1 <= layer <= layers:
        raise ConversionError(
            f"{checkpoint.folder / 'config.json'}: mm_vision_select_layer is {layer}, but the tower has "
            f"{layers} layers (remedy: give the tower that it was trained with)"
        )
    embeddings = checkpoint.tensors.get(EMBEDDINGS)
    if embeddings is None:
        raise ConversionError(f"{checkpoint.folder}: has no {EMBEDDINGS} (remedy: fetch or save it whole)")
    special = special_tokens(tokenizer)
    config = LlavaNextConfig(
        text_config=LlamaConfig(
            **text,
            bos_token_id=special.bos_token_id,
            eos_token_id=special.eos_token_id,
            pad_token_id=special.pad_token_id,
        ),
        vision_config=tower.config,
        image_token_index=token_id(tokenizer, IMAGE_TOKEN),
        image_grid_pinpoints=[
            [height, width]
            for width, height in grid_pinpoints(checkpoint, vision_sizes(tower.config).image_size)
        ],
        vision_feature_layer=layer,
        vision_feature_select_strategy="default",
        tie_word_embeddings=bool(checkpoint.config.get("tie_word_embeddings", False)),
    )
    config.architectures = ["LlavaNextForConditionalGeneration"]
    for part in (config, config.text_config, config.vision_config):
        assert isinstance(part, PreTrainedConfig)  # annotated as optional or a dict, as passed
        part.dtype = embeddings.dtype
    return config


def read_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """The checkpoint's LLaMA 3 tokenizer, prepared as `ndino.formats.model_folder` saves it.

    Raises:
        ConversionError: there is none, or it is not a LLaMA 3 tokenizer.
    """
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise ConversionError(f"{path}: no such file (remedy: put the trained model's tokenizer there)")
    with settings_of(f"{folder}: its tokenizer"):
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    missing = [marker for marker in MARKERS if marker not in tokenizer.get_vocab()]
    if missing:
        raise ConversionError(
            f"{path}: has no token {missing[0]}: not a LLaMA 3 tokenizer "
            "(remedy: put the trained model's there)"
        )
    with settings_of(f"{folder}: its tokenizer"):
        return prepare_tokenizer(tokenizer)


def grid_pinpoints(checkpoint: Checkpoint, side: int) -> list[tuple[int, int]]:
    """The checkpoint's grids as (width, height) in pixels; ``side`` is the side of the tower's tiles.

    config.json has them as a list, as the text of a list, or as a range of tiles, ``"(1x1),...,(6x6)"``.

    Raises:
        ConversionError: they are missing or unreadable, or not multiples of ``side``.
    """
    value = require(checkpoint, "image_grid_pinpoints")
    path = checkpoint.folder / "config.json"
    if isinstance(value, str) and (ends := _RANGE.findall(value)):
        (first_w, first_h), (last_w, last_h) = ends[0], ends[-1]
        value = [
            [w * side, h * side]
            for w in range(int(first_w), int(last_w) + 1)
            for h in range(int(first_h), int(last_h) + 1)
        ]
    elif isinstance(value, str):
        try:
            value = parse_json(value.replace("(", "[").replace(")", "]"))
        except ValueError:
            raise ConversionError(
                f"{path}: image_grid_pinpoints cannot be read: {value[:80]} (remedy: {_PINPOINTS})"
            ) from None
    pairs = value if isinstance(value, list) else []
    if not pairs or not all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(n, int) and n > 0 for n in pair)
        for pair in pairs
    ):
        raise ConversionError(f"{path}: image_grid_pinpoints is {shown(value)} (remedy: {_PINPOINTS})")
    if any(n % side for pair in pairs for n in pair):
        raise ConversionError(
            f"{path}: image_grid_pinpoints {pairs} are not multiples of the tower's image size {side} "
            "(remedy: give the tower that it was trained with)"
        )
    return [(width, height) for width, height in pairs]
