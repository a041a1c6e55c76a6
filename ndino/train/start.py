"""Where a stage starts: that its folders are models of the right kinds, and that the recipe fits them.

Reads settings only, so that a wrong folder is refused before anything is built or written.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import try_to_load_from_cache

from ndino.common.errors import shown
from ndino.common.hub import HUB_ID
from ndino.formats.backbones.kinds import vision_part
from ndino.formats.backbones.tower import VisionTower, grid_of, read_tower
from ndino.formats.model_kinds import (
    ADAPTER,
    LANGUAGE_MODEL,
    PUBLISHED,
    TOWER,
    UPSTREAM,
    ModelFolderError,
    a_type,
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
        "": "start from a causal language model that transformers knows, such as a LLaMA or a Qwen3",
    },
    "vision_tower": {
        LANGUAGE_MODEL: "give it as --language-model",
        "": "start from a CLIP, a SigLIP or a SigLIP 2 of fixed resolution",
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
_UPSTREAM_TOWERS = ("clip", "clip_vision_model")
_UPSTREAM_TOKENIZER = ("tokenizer.json", "tokenizer_config.json")
_TOKENIZER = "a language model folder holds config.json, the weights and tokenizer.json"
_NATIVE = "train with --engine native, which takes it"


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


def check_model(folder: Path, recipe: Recipe) -> VisionTower:
    """Check a model in Hugging Face format that the native engine starts from; returns what its tower is.

    Raises:
        ModelFolderError: it is another kind of model or incomplete, or the recipe does not fit it.
    """
    config = require_kind(folder, PUBLISHED, _REMEDIES["model"])
    require_model_folder(folder, files=("tokenizer.json",), remedy=_REMEDIES["model"][""])
    for name in ("text_config", "vision_config"):
        if not isinstance(config.get(name), dict):
            raise ModelFolderError(f"{folder / 'config.json'}: has no {name} (remedy: copy the model again)")
    tower = read_tower(folder)
    check_fit(folder, tower, recipe)
    if (strategy := config.get("vision_feature_select_strategy", "default")) != tower.select_strategy:
        raise ModelFolderError(
            f"{folder}: its features do not fit: vision_feature_select_strategy is {shown(strategy)}, and "
            f"its tower gives {'a' if tower.class_token else 'no'} class token (remedy: copy the model again)"
        )
    return tower


def check_language_model(folder: Path, *, upstream: bool = False) -> None:
    """Check the folder of a language model; ``upstream`` asks for what the upstream engine needs as well.

    Raises:
        ModelFolderError: it is another kind of model or incomplete.
    """
    config = require_kind(folder, LANGUAGE_MODEL, _REMEDIES["language_model"])
    _require_unquantised(folder, config)
    if upstream and config["model_type"] != "llama":
        raise ModelFolderError(
            f"{folder}: is {a_type(config)}, the upstream engine takes LLaMA alone (remedy: {_NATIVE})"
        )
    files = _UPSTREAM_TOKENIZER if upstream else ("tokenizer.json",)
    require_model_folder(folder, files=files, remedy=_TOKENIZER)


def check_tower(folder: Path, recipe: Recipe, *, upstream: bool = False) -> VisionTower:
    """Check the folder of a vision tower; ``upstream`` asks for what the upstream engine needs as well.

    Raises:
        ModelFolderError: it is another kind of model or incomplete, or the recipe does not fit it.
    """
    config = require_kind(folder, TOWER, _REMEDIES["vision_tower"])
    _require_unquantised(folder, config)
    if upstream:
        if (kind := vision_part(config).get("model_type", config["model_type"])) not in _UPSTREAM_TOWERS:
            raise ModelFolderError(
                f"{folder}: is a {shown(kind)}, the upstream engine takes CLIP alone (remedy: {_NATIVE})"
            )
        require_model_folder(
            folder,
            files=("preprocessor_config.json",),
            remedy="a vision tower's folder holds config.json, preprocessor_config.json and the weights",
        )
    tower = read_tower(folder)
    check_fit(folder, tower, recipe)
    if upstream and any(length % tower.side for pinpoint in recipe.grid_pinpoints for length in pinpoint):
        raise _no_grid(folder, tower, recipe)  # upstream takes the grid as it is
    return tower


def _require_unquantised(folder: Path, config: Mapping[str, Any]) -> None:
    quantisation = config.get("quantization_config")
    if quantisation is not None:
        method = quantisation.get("quant_method") if isinstance(quantisation, dict) else quantisation
        raise ModelFolderError(
            f"{folder}: its weights are quantised ({shown(method)}), which training cannot start from "
            "(remedy: start from the model that was quantised)"
        )


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


def check_fit(folder: Path, tower: VisionTower, recipe: Recipe) -> None:
    """Check that the recipe's grid and layer fit a tower.

    Raises:
        ModelFolderError: they do not.
    """
    if grid_of(recipe.grid_pinpoints, tower.side) is None:
        raise _no_grid(folder, tower, recipe)
    if not -tower.layers - 1 <= recipe.vision_feature_layer <= tower.layers:
        raise ModelFolderError(
            f"{folder}: its vision tower has {tower.layers} layers, vision_feature_layer is "
            f"{recipe.vision_feature_layer} (remedy: set vision_feature_layer in the recipe)"
        )


def _no_grid(folder: Path, tower: VisionTower, recipe: Recipe) -> ModelFolderError:
    return ModelFolderError(
        f"{folder}: its image size {tower.side} does not divide the grid pinpoints "
        f"{list(recipe.grid_pinpoints)} (remedy: set grid_pinpoints in the recipe)"
    )
