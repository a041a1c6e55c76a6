"""What a vision tower's folder says: its tiles, its features, and how its images are normalised.

A tower is a CLIP or what is built like one, such as a SigLIP, or a SigLIP 2 of fixed resolution. It takes
square tiles of one side and gives a feature for each patch, behind a class token or without. That decides
LLaVA-NeXT's ``vision_feature_select_strategy``: "default" drops the class token, "full" keeps all features.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ndino.common.errors import reason_of, shown
from ndino.formats.model_kinds import ModelFolderError, read_json_object

if TYPE_CHECKING:
    from transformers import LlavaNextConfig, PreTrainedConfig, PreTrainedModel

# The grids of recipes are of tiles of this side, in pixels: that of the paper's tower.
RECIPE_SIDE = 336
# What a tower's weights begin with.
_WEIGHTS = ("embeddings.", "pre_layrnorm.", "encoder.layers.", "post_layernorm.")
# Where an image processor's settings are: of a whole model as a part of the first, or alone.
_SETTINGS = ("processor_config.json", "preprocessor_config.json")
_ANOTHER = "start from a CLIP, a SigLIP or a SigLIP 2 of fixed resolution"

Grid = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class VisionTower:
    """What a model follows from on its side of the images.

    Attributes:
        config: of the tower alone.
        kind: its class in transformers.
        side: of a tile, in pixels.
        patch: side of a patch, in pixels.
        layers: of its encoder.
        class_token: whether a class token comes before the features of the patches.
        normalisation: ``image_mean``, ``image_std``, ``rescale_factor`` and ``resample`` of its image
            processor, as far as the folder says them.
    """

    config: PreTrainedConfig
    kind: type[PreTrainedModel]
    side: int
    patch: int
    layers: int
    class_token: bool
    normalisation: Mapping[str, Any]

    @property
    def select_strategy(self) -> Literal["default", "full"]:
        """LLaVA-NeXT's ``vision_feature_select_strategy``."""
        return "default" if self.class_token else "full"


def read_tower(folder: Path) -> VisionTower:
    """Read the tower of a folder that holds it alone, beside its text encoder, or in a LLaVA-NeXT.

    Raises:
        ModelFolderError: its settings cannot be read, or LLaVA-NeXT cannot use its features.
    """
    from transformers import MODEL_MAPPING, AutoConfig

    try:
        whole: Any = AutoConfig.from_pretrained(folder)
    except Exception as error:  # a setting of a wrong type, for instance: each class has errors of its own
        raise ModelFolderError(
            f"{folder / 'config.json'}: cannot be read: {reason_of(error)} (remedy: copy the model again)"
        ) from error
    config: Any = getattr(whole, "vision_config", whole)
    kind: Any = MODEL_MAPPING.get(type(config), None)
    if kind is None:
        raise ModelFolderError(
            f"{folder}: has no vision tower that transformers can build (remedy: {_ANOTHER})"
        )
    if hasattr(config, "vision_use_head"):
        config.vision_use_head = False  # it joins all features to one, which nothing reads
    side, patch, layers = (
        _number(folder, config, name) for name in ("image_size", "patch_size", "num_hidden_layers")
    )
    features, patches = _features_of_tile(folder, kind, config), (side // patch) ** 2
    if features not in (patches, patches + 1):
        raise ModelFolderError(
            f"{folder}: its features do not fit: {features} for a tile of {side} pixels, LLaVA-NeXT takes "
            f"one for each of the {patches} patches and at most a class token (remedy: {_ANOTHER})"
        )
    class_token = features > patches
    normalisation = _normalisation(folder)
    if normalisation is None and not class_token:
        # LLaVA-NeXT's own are CLIP's. Another tower would see colours that it was not trained on.
        raise ModelFolderError(
            f"{folder}: has no preprocessor_config.json, which says how its images are normalised "
            "(remedy: copy it from where the tower is from)"
        )
    return VisionTower(config, kind, side, patch, layers, class_token, normalisation or {})


def grid_of(pinpoints: Sequence[Sequence[int]], side: int) -> Grid | None:
    """A recipe's ``grid_pinpoints`` for tiles of ``side`` pixels; None where they do not fit.

    A grid that such tiles divide is used as it is. Otherwise a grid of `RECIPE_SIDE` is scaled: it keeps its
    number of tiles, and so of features for each tile.
    """
    lengths = {length for pinpoint in pinpoints for length in pinpoint}
    if all(length % side == 0 for length in lengths):
        unit = side
    elif all(length % RECIPE_SIDE == 0 for length in lengths):
        unit = RECIPE_SIDE
    else:
        return None
    return tuple((height // unit * side, width // unit * side) for height, width in pinpoints)


def notes_on_tiles(config: LlavaNextConfig, pinpoints: Sequence[Sequence[int]]) -> list[str]:
    """What a user should know of a model's tiles, one line each: a scaled grid, pixels that no patch has.

    Args:
        config: the model's, with the grid that `grid_of` made.
        pinpoints: the recipe's ``grid_pinpoints``.
    """
    vision: Any = config.vision_config
    side, patch = vision.image_size, vision.patch_size
    asked, used = [*map(list, pinpoints)], [*map(list, config.image_grid_pinpoints or ())]
    notes = []
    if used != asked:
        notes.append(
            f"grid_pinpoints: {used}, which is the recipe's {asked} for tiles of {side} pixels in place of "
            f"{RECIPE_SIDE}"
        )
    if unseen := side % patch:
        notes.append(
            f"warning: image_size {side} of the vision tower is not a multiple of its patch_size {patch}: "
            f"the last {unseen} pixels of each row and column of a tile are never seen"
        )
    return notes


def unused_weights(layers: int, feature_layer: int) -> tuple[str, ...]:
    """How names of a tower's weights begin that have no part in ``hidden_states[feature_layer]``.

    ``hidden_states[0]`` are the embeddings, ``hidden_states[n]`` is the output of layer n - 1.
    """
    behind = range(feature_layer % (layers + 1), layers)
    return ("post_layernorm.", "head.", *(f"encoder.layers.{layer}." for layer in behind))


def _number(folder: Path, config: PreTrainedConfig, name: str) -> int:
    value = getattr(config, name, None)
    if not isinstance(value, int) or value < 1:
        said = "has no" if value is None else f"has {shown(value)} as"
        raise ModelFolderError(
            f"{folder}: its features do not fit: config.json {said} {name} of the tower, and LLaVA-NeXT "
            f"takes square tiles of one side (remedy: {_ANOTHER})"
        )
    return value


def _features_of_tile(folder: Path, kind: Any, config: Any) -> int:
    """How many features the class gives for a tile; asked of one layer, without memory for its weights."""
    import torch

    shallow = copy.deepcopy(config)
    shallow.num_hidden_layers = 1
    try:
        with torch.device("meta"), torch.no_grad():
            tower = kind(shallow)
            tile = torch.empty(1, 3, config.image_size, config.image_size)
            found = tower(tile, output_hidden_states=True).hidden_states[-1]
    except Exception as error:  # whatever it needs beside a tile
        raise ModelFolderError(
            f"{folder}: its features do not fit: a tile of {config.image_size} pixels cannot be encoded: "
            f"{reason_of(error)} (remedy: {_ANOTHER})"
        ) from error
    # By these names weights are saved and loaded, and those that are never used are found.
    if odd := [name for name in tower.state_dict() if not name.startswith(_WEIGHTS)]:
        raise ModelFolderError(
            f"{folder}: its vision tower, {shown(config.model_type)}, is not built like a CLIP: "
            f"it has {odd[0]} (remedy: {_ANOTHER})"
        )
    return found.shape[1]


def _normalisation(folder: Path) -> dict[str, Any] | None:
    """What the folder's image processor does to the pixels of a tile; None where it says nothing."""
    for name in _SETTINGS:
        if not (folder / name).is_file():
            continue
        held = read_json_object(folder / name)
        part = held.get("image_processor", held)
        if not isinstance(part, dict) or not {"image_mean", "image_std"} <= part.keys():
            continue
        found = {
            key: part[key]
            for key in ("image_mean", "image_std", "rescale_factor", "resample")
            if part.get(key) is not None
        }
        for key in ("image_mean", "image_std"):
            value = found.get(key)
            if not isinstance(value, list) or len(value) != 3:
                raise ModelFolderError(
                    f"{folder / name}: {key} is {shown(value)}, not three numbers (remedy: copy it again)"
                )
        if part.get("do_normalize") is False:
            found |= {"image_mean": [0.0] * 3, "image_std": [1.0] * 3}
        if part.get("do_rescale") is False:
            found["rescale_factor"] = 1.0
        return found
    return None
