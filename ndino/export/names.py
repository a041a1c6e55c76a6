"""Maps upstream's weight names to the saved ones, and checks that the checkpoint has exactly these."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from transformers import LlavaNextConfig, LlavaNextForConditionalGeneration

from ndino.export.checkpoint import Checkpoint
from ndino.export.errors import ConversionError
from ndino.formats.model_folder import saved_name

EMBEDDINGS, HEAD = "model.embed_tokens.weight", "lm_head.weight"
NAMED = 5  # keys that an error lists before it counts the rest

# Upstream's prefix and the saved one. Order matters: the first match decides.
_PREFIXES = (
    ("model.vision_tower.vision_tower.", "vision_tower."),
    ("model.mm_projector.0.", "multi_modal_projector.linear_1."),
    ("model.mm_projector.2.", "multi_modal_projector.linear_2."),
    ("model.image_newline", "image_newline"),
    ("lm_head.", "language_model.lm_head."),
    ("model.", "language_model.model."),
)
# Old versions of transformers saved these; they are computed from the configuration.
_BUFFERS = ("rotary_emb.inv_freq", "embeddings.position_ids")


def plan(checkpoint: Checkpoint, config: LlavaNextConfig) -> dict[str, str]:
    """Saved name of each upstream weight that is written; ``config`` is that of the converted model.

    Raises:
        ConversionError: weights are missing or unexpected, or a shape contradicts the configuration.
    """
    wanted = {_upstream_name(name): (name, shape) for name, shape in _published_shapes(config).items()}
    for name in {EMBEDDINGS, HEAD} & wanted.keys():
        published, (_, width) = wanted[name]
        wanted[name] = (published, (checkpoint.config["vocab_size"], width))
    found = {name: tensor for name, tensor in checkpoint.tensors.items() if not name.endswith(_BUFFERS)}
    if config.tie_word_embeddings:
        found.pop(HEAD, None)
    _refuse(checkpoint, "has no", wanted.keys() - found.keys())
    _refuse(checkpoint, "has unexpected", found.keys() - wanted.keys())
    for name, tensor in found.items():
        if tensor.shape != wanted[name][1]:
            raise ConversionError(
                f"{tensor.shard}: {name} is {list(tensor.shape)}, but the configurations of the checkpoint "
                f"and its tower make it {list(wanted[name][1])} "
                "(remedy: give the tower that it was trained with)"
            )
    return {name: wanted[name][0] for name in found}


def _published_shapes(config: LlavaNextConfig) -> Mapping[str, tuple[int, ...]]:
    with torch.device("meta"):
        weights = LlavaNextForConditionalGeneration(config).state_dict()
    if config.tie_word_embeddings:
        weights.pop(HEAD)
    return {saved_name(name): tuple(tensor.shape) for name, tensor in weights.items()}


def _upstream_name(published: str) -> str:
    for theirs, ours in _PREFIXES:
        if published.startswith(ours):
            return theirs + published.removeprefix(ours)
    raise AssertionError(f"no upstream name for {published}")


def _refuse(checkpoint: Checkpoint, what: str, names: Iterable[str]) -> None:
    listed = sorted(names)
    if listed:
        more = f" and {len(listed) - NAMED} more" if len(listed) > NAMED else ""
        raise ConversionError(
            f"{checkpoint.folder}: {what} {', '.join(listed[:NAMED])}{more} "
            "(remedy: give a complete LLaVA-NeXT checkpoint with a LLaMA and a CLIP tower)"
        )
