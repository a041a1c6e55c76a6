"""Starting folders for the upstream trainer: links to the files it can read, rewritten copies of the others.

Upstream runs on transformers 4.45. A folder that transformers 5 saved differs in three ways, none of which
need be an error there: 4.x does not find rope_theta and uses its default, it does not have the tokenizer's
class, and it does not recognise the shorter weight names of a CLIP tower and initialises them at random.
Folders that 4.x saved are used unchanged.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file

from ndino.common.files import atomic_folder, write_json
from ndino.common.parsing import read_json
from ndino.formats import model_folder
from ndino.train.start import TOWER_FIELD

# Upstream chooses the model class by this word in the path.
LANGUAGE_MODEL = "llama"
TOWER = "vision-tower"
TOWER_PREFIX = "vision_model."
REWRITTEN = ("config.json", "tokenizer_config.json")


def link_language_model(source: Path, folder: Path, tower: Path | None = None) -> Path:
    """Make ``folder`` a copy of ``source`` (a LLaMA, or a checkpoint of upstream's) that 4.x can read.

    ``tower`` replaces the vision tower that a checkpoint records: upstream loads that one before any other.
    """
    with atomic_folder(folder) as made:
        for path in sorted(source.iterdir()):
            if path.is_file() and path.name not in REWRITTEN:
                (made / path.name).symlink_to(path.resolve())
        config = readable_config(read_json(source / "config.json"))
        if tower is not None and TOWER_FIELD in config:
            config[TOWER_FIELD] = str(tower)
        write_json(made / "config.json", config)
        settings = read_json(source / "tokenizer_config.json")
        model_folder.make_tokenizer_portable(settings)
        write_json(made / "tokenizer_config.json", settings)
    return folder


def readable_config(config: dict[str, Any]) -> dict[str, Any]:
    """A copy of a LLaMA's config in the form that transformers 4.x reads."""
    config = dict(config)
    model_folder.make_rope_portable(config)
    if "dtype" in config:
        config["torch_dtype"] = config.pop("dtype")
    return config


def link_vision_tower(source: Path, folder: Path) -> Path:
    """``source`` if 4.x can read it; otherwise ``folder``, made a copy with the longer weight names."""
    weights = source / "model.safetensors"
    if not weights.exists():
        return source
    with safe_open(weights, "pt") as file:
        if any(name.startswith(TOWER_PREFIX) for name in file.keys()):  # noqa: SIM118
            return source
        tensors = {TOWER_PREFIX + name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    with atomic_folder(folder) as made:
        save_file(tensors, made / "model.safetensors", metadata={"format": "pt"})
        for path in sorted(source.iterdir()):
            if path.is_file() and path.name != weights.name:
                (made / path.name).symlink_to(path.resolve())
    return folder
