"""Where a stage starts: that its folders are models of the right kinds, and that the recipe fits them.

Reads settings only, so that a wrong folder is refused before anything is built or written, also where there
is no PyTorch.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import try_to_load_from_cache

from ndino.common.hub import HUB_ID
from ndino.formats.model_kinds import (
    ADAPTER,
    LANGUAGE_MODEL,
    PUBLISHED,
    TOWER,
    UPSTREAM,
    ModelFolderError,
    read_config,
    require_kind,
    require_model_folder,
)
from ndino.formats.recipes import Recipe
from ndino.train.stage import Stage

TOWER_FIELD = "mm_vision_tower"  # of an upstream checkpoint's config.json
_MERGE = "merge it into its base model and save the whole model"
_REMEDIES = {
    "model": {
        UPSTREAM: "convert it with `ndino convert`, or train with --engine llava-next",
        LANGUAGE_MODEL: "give it as --language-model, beside --vision-tower",
        TOWER: "give it as --vision-tower, beside --language-model",
        ADAPTER: _MERGE,
        "": "give a folder that an earlier stage wrote, or --language-model and --vision-tower",
    },
    "language_model": {
        UPSTREAM: "give it as --model, with --engine llava-next",
        PUBLISHED: "give it as --model",
        TOWER: "give it as --vision-tower",
        ADAPTER: _MERGE,
        "": "start from a LLaMA; language models other than LLaMA: not yet",
    },
    "vision_tower": {
        LANGUAGE_MODEL: "give it as --language-model",
        "": "start from a CLIP; vision towers other than CLIP: not yet",
    },
    "upstream": {
        PUBLISHED: "give the upstream folder of an earlier stage that this engine trained, or train with "
        "--engine native",
        LANGUAGE_MODEL: "give it as --language-model, beside --vision-tower",
        TOWER: "give it as --vision-tower, beside --language-model",
        ADAPTER: _MERGE,
        "": "give the upstream folder of an earlier stage, a checkpoint of the original LLaVA-NeXT code, or "
        "--language-model and --vision-tower",
    },
}
_TOWER_REMEDY = "name its folder with --vision-tower, or VISION_TOWER= in launch/cluster.env"
_UPSTREAM_TOKENIZER = ("tokenizer.json", "tokenizer_config.json")
_TOKENIZER = "a language model folder holds config.json, the weights and a LLaMA 3 tokenizer.json"


def check_start(stage: Stage, *, upstream: bool) -> None:
    """Check every folder that a stage starts from, for the upstream engine or for the native one.

    Raises:
        ModelFolderError: one is another kind of model or incomplete, or the recipe does not fit it.
    """
    for role in stage.start:
        check_folder(stage, role, upstream=upstream)


def check_folder(stage: Stage, role: str, *, upstream: bool) -> None:
    """Check one of the folders that a stage starts from; ``role`` is a key of ``stage.start``.

    Raises:
        ModelFolderError: as `check_start`.
    """
    folder = stage.start[role]
    if role == "vision_tower":
        check_tower(folder, stage.recipe, upstream=upstream)
    elif role == "language_model":
        check_language_model(folder, upstream=upstream)
    elif upstream:
        require_kind(folder, UPSTREAM, _REMEDIES["upstream"])
        require_model_folder(folder, files=_UPSTREAM_TOKENIZER, remedy=_TOKENIZER)
        if stage.vision_tower is None:
            check_tower(find_tower(folder), stage.recipe, upstream=True)
    else:
        check_model(folder, stage.recipe)


def check_model(folder: Path, recipe: Recipe) -> None:
    """Check a model in Hugging Face format that the native engine starts from.

    Raises:
        ModelFolderError: it is another kind of model or incomplete, or the recipe does not fit it.
    """
    config = require_kind(folder, PUBLISHED, _REMEDIES["model"])
    require_model_folder(folder, files=("tokenizer.json",), remedy=_REMEDIES["model"][""])
    text, vision = (_part(folder, config, name) for name in ("text_config", "vision_config"))
    if (kind := text.get("model_type")) != "llama":
        raise ModelFolderError(
            f"{folder}: its language model is a {kind}; language models other than LLaMA: not yet (remedy: "
            "start from a LLaVA-NeXT with a LLaMA)"
        )
    if (kind := vision.get("model_type")) != "clip_vision_model":
        raise ModelFolderError(
            f"{folder}: its vision tower is a {kind}; vision towers other than CLIP: not yet (remedy: start "
            "from a LLaVA-NeXT with a CLIP)"
        )
    _check_fit(folder, vision, recipe)


def check_language_model(folder: Path, *, upstream: bool = False) -> None:
    """Check the folder of a LLaMA; ``upstream`` asks for what the upstream engine needs as well.

    Raises:
        ModelFolderError: it is another kind of model or incomplete.
    """
    require_kind(folder, LANGUAGE_MODEL, _REMEDIES["language_model"])
    files = _UPSTREAM_TOKENIZER if upstream else ("tokenizer.json",)
    require_model_folder(folder, files=files, remedy=_TOKENIZER)


def check_tower(folder: Path, recipe: Recipe, *, upstream: bool = False) -> None:
    """Check the folder of a CLIP; ``upstream`` asks for what the upstream engine needs as well.

    Raises:
        ModelFolderError: it is another kind of model or incomplete, or the recipe does not fit it.
    """
    config = require_kind(folder, TOWER, _REMEDIES["vision_tower"])
    if upstream:
        require_model_folder(
            folder,
            files=("preprocessor_config.json",),
            remedy="a vision tower's folder holds config.json, preprocessor_config.json and CLIP's weights",
        )
    whole = config.get("model_type") == "clip"
    _check_fit(folder, _part(folder, config, "vision_config") if whole else config, recipe)


def find_tower(checkpoint: Path, given: Path | None = None) -> Path:
    """The folder of a checkpoint's vision tower: ``given``, or what its config.json names.

    That may be a folder of this machine, a folder in the checkpoint, or a name on the hub that is in the
    hub's cache, as in the checkpoints that LLaVA-NeXT's authors published.

    Raises:
        ModelFolderError: it is not on this machine.
    """
    if given is not None:
        return given.resolve()
    recorded = read_config(checkpoint).get(TOWER_FIELD)
    if not isinstance(recorded, str) or not recorded:
        raise ModelFolderError(
            f"{checkpoint / 'config.json'}: names no {TOWER_FIELD} (remedy: {_TOWER_REMEDY})"
        )
    for folder in (Path(recorded), checkpoint / recorded):
        if folder.is_dir():
            return folder.resolve()
    if HUB_ID.fullmatch(recorded):
        cached = try_to_load_from_cache(recorded, "config.json")
        if isinstance(cached, str):
            return Path(cached).parent
    raise ModelFolderError(
        f"{checkpoint}: its vision tower {recorded} is not on this machine (remedy: {_TOWER_REMEDY})"
    )


def _check_fit(folder: Path, vision: Mapping[str, Any], recipe: Recipe) -> None:
    """Check that the recipe's grid and layer fit the tower with these settings.

    Raises:
        ModelFolderError: they do not.
    """
    side, layers = (
        _number(folder, vision, "image_size", 224),
        _number(folder, vision, "num_hidden_layers", 12),
    )
    if any(length % side for pinpoint in recipe.grid_pinpoints for length in pinpoint):
        raise ModelFolderError(
            f"{folder}: its image size {side} does not divide the grid pinpoints "
            f"{list(recipe.grid_pinpoints)} (remedy: set grid_pinpoints in the recipe)"
        )
    if not -layers - 1 <= recipe.vision_feature_layer <= layers:
        raise ModelFolderError(
            f"{folder}: its vision tower has {layers} layers, vision_feature_layer is "
            f"{recipe.vision_feature_layer} (remedy: set vision_feature_layer in the recipe)"
        )


def _part(folder: Path, config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = config.get(name)
    if not isinstance(part, dict):
        raise ModelFolderError(f"{folder / 'config.json'}: has no {name} (remedy: copy the model again)")
    return part


def _number(folder: Path, settings: Mapping[str, Any], name: str, default: int) -> int:
    # transformers leaves out what equals CLIP's own default.
    value = settings.get(name, default)
    if not isinstance(value, int) or value < 1:
        raise ModelFolderError(
            f"{folder / 'config.json'}: {name} is {value!r}, not a number above 0 "
            "(remedy: copy the model again)"
        )
    return value
