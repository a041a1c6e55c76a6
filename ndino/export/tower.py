"""Finds the CLIP tower of a checkpoint: its configuration and image preprocessing, not its weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import CLIPVisionConfig
from transformers.utils.hub import cached_file

from ndino.common.hub import hub_reason
from ndino.export.checkpoint import read_json
from ndino.export.errors import ConversionError, settings_of

_KINDS = ("clip", "clip_vision_model")
# Upstream's prefixes for other kinds of towers.
_FOREIGN = ("hf:", "open_clip_hub:", "imagebind")
_REMEDY = "give its folder with --vision-tower; config.json and preprocessor_config.json are enough"


@dataclass(frozen=True)
class Tower:
    """A tower: ``source`` is its folder or hub name, ``preprocessing`` its preprocessor_config.json."""

    source: str
    config: CLIPVisionConfig
    preprocessing: dict[str, Any]


def read_tower(recorded: str, checkpoint: Path, override: Path | None = None) -> Tower:
    """Find the tower ``recorded`` as ``mm_vision_tower``: a local folder, or else a name on the hub.

    Raises:
        ConversionError: the tower is not a CLIP or cannot be found.
    """
    if not isinstance(recorded, str):
        raise ConversionError(
            f"{checkpoint / 'config.json'}: mm_vision_tower is {recorded!r}, not a name or folder (remedy: "
            "give its folder with --vision-tower)"
        )
    source = str(override) if override is not None else _located(recorded, checkpoint)
    if source.startswith(_FOREIGN):
        raise ConversionError(
            f"{checkpoint / 'config.json'}: the vision tower is {source}; others than CLIP: not yet "
            "(remedy: give a model with a CLIP)"
        )
    settings = read_json(_file(source, "config.json"))
    kind = settings.get("model_type")
    if kind not in _KINDS:
        raise ConversionError(
            f"{source}: the vision tower is a {kind} model; others than CLIP: not yet "
            "(remedy: give a model with a CLIP)"
        )
    with settings_of(f"{source}: config.json"):
        config = CLIPVisionConfig.from_dict(settings.get("vision_config", {}) if kind == "clip" else settings)
    return Tower(source, config, read_json(_file(source, "preprocessor_config.json")))


def _located(recorded: str, checkpoint: Path) -> str:
    for folder in (Path(recorded), checkpoint / recorded):
        if folder.is_dir():
            return str(folder.resolve())
    return recorded


def _file(source: str, name: str) -> Path:
    if Path(source).is_absolute() or source.startswith("."):
        path = Path(source, name)
        if not path.is_file():
            raise ConversionError(f"{path}: the vision tower has no such file (remedy: {_REMEDY})")
        return path
    try:
        found = cached_file(source, name)
    except Exception as error:  # see `hub_reason`
        raise ConversionError(
            f"vision tower {source}: not a local folder, and the hub has no {name}: "
            f"{hub_reason(error)} (remedy: {_REMEDY})"
        ) from error
    assert found is not None  # as called here, it raises where there is none
    return Path(found)
