"""What kind of model a folder holds, read from its settings; a folder of another kind is refused at once.

transformers builds whatever class it is told to, with defaults for the settings that it does not find: from
a checkpoint of the original LLaVA-NeXT code it would build a random model of 7 billion weights. So every
command that takes a model folder asks here first. PyTorch and transformers are loaded only where config.json
names neither a LLaVA-NeXT nor a checkpoint of upstream's: the cluster's checks run on login nodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ndino.common.errors import UserError, reason_of, remedy_for, shown
from ndino.common.files import WEIGHTS
from ndino.common.parsing import parse_json, read_json
from ndino.formats.backbones.kinds import (
    ENCODER_DECODER,
    LANGUAGE_MODEL,
    NO_CAUSAL,
    TOWER,
    VISION_LANGUAGE,
    backbone_kind,
)
from ndino.formats.damage import fault_of_weights

PUBLISHED, UPSTREAM, ADAPTER = "published", "upstream", "adapter"
_KINDS = {"llava_next": PUBLISHED, "llava_llama": UPSTREAM}  # by model_type
_SAID = {
    PUBLISHED: "a LLaVA-NeXT in Hugging Face format",
    UPSTREAM: "a model of the original LLaVA-NeXT code",
    LANGUAGE_MODEL: "a language model without a vision tower",
    TOWER: "a vision tower alone",
    ADAPTER: "an adapter (LoRA) without its base model",
    ENCODER_DECODER: "an encoder-decoder ({type})",
    VISION_LANGUAGE: "a vision-language model ({type})",
    NO_CAUSAL: "{a_type} model without a head that predicts the next token",
}
# What else is saved under a weight file's suffix: adapters, upstream's projector, a trainer's settings.
_PARTS = ("adapter_", "mm_projector", "training_args")
_ADAPTER_SETTINGS = "adapter_config.json"
# Beside the folder of a run, the folders in it that hold models.
_INNER = ("model", "upstream")
# What a checkpoint of training has beside trainer_state.json; upstream leaves that with a model as well.
_OF_TRAINING = ("scheduler.pt", "optimizer*", "rng_state*.pth", "global_step*", "whole.json")


class ModelFolderError(UserError):
    """A model folder that cannot be used; the message names the folder and the remedy."""


def require_model_folder(folder: Path, *, files: tuple[str, ...], remedy: str) -> None:
    """Check that ``folder`` holds ``files``, and that settings among them are JSON.

    Raises:
        ModelFolderError: the folder or a file is missing, broken, or may not be read.
    """
    try:
        if not folder.is_dir():
            raise ModelFolderError(f"{folder}: no such model folder (remedy: {remedy})")
        for name in files:
            path = folder / name
            if not path.is_file():
                # A run's folder in place of the model in it.
                inner = folder / "model"
                hint = f"give {inner}" if (inner / name).is_file() else remedy
                raise ModelFolderError(f"{folder}: has no {name} (remedy: {hint})")
            if path.suffix == ".json":
                parse_json(path.read_bytes())
            else:
                path.open("rb").close()
    except ValueError as error:
        if isinstance(error, ModelFolderError):
            raise
        raise ModelFolderError(
            f"{path}: broken JSON: {reason_of(error)} (remedy: copy the model again)"
        ) from error
    except OSError as error:
        remedy = remedy_for(error, "copy the model again")
        raise ModelFolderError(f"{reason_of(error)} (remedy: {remedy})") from error


def require_kind(
    folder: Path, wanted: str, remedies: Mapping[str, str], *, weights: bool = True
) -> dict[str, Any]:
    """Check that ``folder`` is a model of the kind ``wanted`` and has weights; returns its config.json.

    Args:
        remedies: what to do where it is another kind, by kind; "" is for every other.
        weights: check for weights as well.

    Raises:
        ModelFolderError: it is another kind, has no weights, or its config.json cannot be read.
    """
    otherwise = remedies[""]
    require_readable_folder(folder, otherwise)
    require_finished(folder, wanted)
    if not (folder / "config.json").is_file():
        if (folder / _ADAPTER_SETTINGS).is_file():
            raise ModelFolderError(
                f"{folder}: is {_SAID[ADAPTER]} (remedy: {remedies.get(ADAPTER, otherwise)})"
            )
        inner = [folder / name for name in _INNER if (folder / name / "config.json").is_file()]
        # Of a run by the upstream engine, its folder model or upstream, whichever is of this kind.
        named = [path for path in inner if _kind(path, read_config(path)) == wanted] or inner
        remedy = f"give {named[0]}" if named else otherwise
        raise ModelFolderError(f"{folder}: has no config.json (remedy: {remedy})")
    config = read_config(folder)
    found = _kind(folder, config)
    if found != wanted:
        said = _SAID.get(found, "{a_type} model").format(type=shown(_type(config)), a_type=a_type(config))
        raise ModelFolderError(
            f"{folder}: is {said}, not {_SAID[wanted]} (remedy: {remedies.get(found, otherwise)})"
        )
    if weights:
        require_weights(folder, "copy or download the weights again")
    return config


def require_finished(folder: Path, wanted: str) -> None:
    """Check that the folder is no checkpoint of training, whose settings and weights are the trainer's own.

    Raises:
        ModelFolderError: it is one; the message names the model of the kind ``wanted`` to give instead.
    """
    resumes = (folder / "trainer_state.json").is_file()
    if not resumes or not any(path for name in _OF_TRAINING for path in folder.glob(name)):
        return
    run = folder.absolute().parent
    made = [path for path in (*(run / name for name in _INNER), run) if (path / "config.json").is_file()]
    named = [path for path in made if _kind(path, read_config(path)) == wanted]
    remedy = (
        f"give {named[0]}"
        if named
        else "let its training finish, and give the model that it leaves; to use it unfinished, copy its "
        "config.json, weights and tokenizer to a folder of their own"
    )
    raise ModelFolderError(
        f"{folder}: is a checkpoint to resume training from, not a finished model (remedy: {remedy})"
    )


def require_readable_folder(folder: Path, remedy: str) -> None:
    """Check that ``folder`` is a folder that may be listed.

    Raises:
        ModelFolderError: it is not.
    """
    try:
        if folder.is_dir():
            next(folder.iterdir(), None)
            return
    except OSError as error:
        raise ModelFolderError(f"{reason_of(error)} (remedy: {remedy_for(error, remedy)})") from error
    broken = f"is a link to {folder.readlink()}, which is not there" if folder.is_symlink() else ""
    raise ModelFolderError(f"{folder}: {broken or 'no such model folder'} (remedy: {remedy})")


def require_weights(folder: Path, remedy: str) -> None:
    """Check that the folder has weights, and every file that an index of weights names.

    Raises:
        ModelFolderError: a file is missing, or the index is broken.
    """
    listed: dict[str, str] = {}
    for path in sorted(folder.glob("*.index.json")):
        parts = read_json_object(path).get("weight_map")
        if not isinstance(parts, dict) or not all(isinstance(part, str) for part in parts.values()):
            raise ModelFolderError(f"{path}: has no weight_map (remedy: copy the model again)")
        listed |= dict.fromkeys(parts.values(), path.name)
    for part, index in sorted(listed.items()):
        if not (folder / part).is_file():
            raise ModelFolderError(
                f"{folder}: has no {part}, which {index} names (remedy: copy the model again)"
            )
    found = weight_files(folder)
    if not listed and not found:
        raise ModelFolderError(f"{folder}: has no weights, {' or '.join(WEIGHTS)} (remedy: {remedy})")
    for path in found:
        if path.suffix == ".safetensors" and (fault := fault_of_weights(path)) is not None:
            raise ModelFolderError(f"{path}: damaged: {fault} (remedy: copy the model again)")


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a model folder, or else its ``.bin`` files; no part that is saved alone."""
    for pattern in WEIGHTS:
        found = [
            path
            for path in sorted(folder.glob(pattern))
            if path.is_file() and not path.name.startswith(_PARTS)
        ]
        if found:
            return found
    return []


def model_name(folder: Path) -> str:
    """What a model is called: as its folder, or as the run whose folder ``model`` it is."""
    return folder.resolve().parent.name if folder.name == "model" else folder.name


def benchmarks_beside(folder: Path) -> Path | None:
    """The benchmarks of the run that a model is from: ``RUN/data/benchmarks`` of ``RUN/STAGES/model``."""
    found = folder.resolve().parent.parent / "data" / "benchmarks"
    return found if found.is_dir() else None


def read_config(folder: Path) -> dict[str, Any]:
    """The folder's config.json.

    Raises:
        ModelFolderError: it cannot be read, or is not a JSON object.
    """
    return read_json_object(folder / "config.json")


def read_json_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file of a model folder.

    Raises:
        ModelFolderError: it cannot be read, or is something else.
    """
    try:
        content = read_json(path)
    except OSError as error:
        raise ModelFolderError(
            f"{path}: {reason_of(error)} (remedy: {remedy_for(error, 'copy the model again')})"
        ) from error
    except ValueError as error:
        raise ModelFolderError(
            f"{path}: broken JSON: {reason_of(error)} (remedy: copy the model again)"
        ) from error
    if not isinstance(content, dict):
        raise ModelFolderError(f"{path}: is not a JSON object (remedy: copy the model again)")
    return content


def _kind(folder: Path, config: Mapping[str, Any]) -> str:
    """The kind of a model with this config.json, or its model_type where it is none that we know."""
    classes = config.get("architectures")
    names = classes if isinstance(classes, list) else []
    # Upstream's own trainer leaves the model_type of the language model that it started from.
    if "LlavaLlamaForCausalLM" in names or ("mm_vision_tower" in config and "llama" in _type(config)):
        return UPSTREAM
    if (folder / _ADAPTER_SETTINGS).is_file() and not weight_files(folder):
        return ADAPTER
    return _KINDS.get(_type(config)) or backbone_kind(config) or _type(config)


def a_type(config: Mapping[str, Any]) -> str:
    """A config.json's model_type with its article, such as "an olmo2"."""
    name = shown(_type(config))
    return f"{'an' if name[:1] in 'aeio' else 'a'} {name}"


def _type(config: Mapping[str, Any]) -> str:
    return str(config.get("model_type", "nameless"))
