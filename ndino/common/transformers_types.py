"""What transformers returns, with its real type where the library annotates too much or too little.

At run time these functions only hand on the library's own value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

Loaded = TypeVar("Loaded", bound="PreTrainedModel")


class VisionSizes(Protocol):
    """The sizes of a tower: sides in pixels, and its number of layers."""

    image_size: int
    patch_size: int
    num_hidden_layers: int


class SpecialTokens(Protocol):
    """A tokenizer's special tokens, which it looks up by ``__getattr__``; None where it has none."""

    bos_token: str | None
    eos_token: str | None
    bos_token_id: int | None
    eos_token_id: int | None
    pad_token_id: int | None
    unk_token_id: int | None


def vision_sizes(vision: PreTrainedConfig | dict[str, Any] | None) -> VisionSizes:
    """The configuration of a tower with one number for each side, as `read_tower` asks for."""
    return cast("VisionSizes", vision)


def special_tokens(tokenizer: PreTrainedTokenizerBase) -> SpecialTokens:
    """The tokenizer, as the holder of its special tokens."""
    return cast("SpecialTokens", tokenizer)


def token_id(tokenizer: PreTrainedTokenizerBase, token: str) -> int:
    """The id of a token that the tokenizer has. The annotation adds the list that a list of tokens gives."""
    return cast("int", tokenizer.convert_tokens_to_ids(token))


def load_with_report(kind: type[Loaded], folder: Path, **options: Any) -> tuple[Loaded, dict[str, Any]]:
    """A model and its loading report. ``from_pretrained`` is annotated to return the model alone."""
    loaded = kind.from_pretrained(folder, output_loading_info=True, **options)
    return cast("tuple[Loaded, dict[str, Any]]", loaded)


def generate(model: PreTrainedModel, **options: Any) -> torch.Tensor:
    """Token ids, int64 ``(rows, length)``, from ``model.generate`` with no option that returns more.

    The library types ``self`` by a protocol that no model meets: it asks for ``hf_quantizer`` and a
    ``device`` that can be set.
    """
    return cast("Any", model).generate(**options)
