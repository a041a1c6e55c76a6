"""A family's file: models as chains of recipes, baselines, and the languages in which all are scored."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic.dataclasses import dataclass

from ndino.common.errors import shown
from ndino.common.hub import may_be_on_hub
from ndino.formats.recipes import STRICT, Name, RecipeError, read_mapping, validated

# A baseline's name is that of a folder of results and of a SLURM job.
_BASELINE_NAME = re.compile(r"[\w+-][\w.+-]*")
_BASELINE_FORM = "NAME: {model: HUB_ID_OR_FOLDER, lmms: NAME_IN_LMMS_EVAL}"


@dataclass(frozen=True, config=STRICT)
class Baseline:
    """A model that is only scored: its hub id or folder, and the name of its kind in lmms-eval."""

    model: Name
    lmms: Name

    @property
    def hub_id(self) -> str | None:
        """Its name on the hub; None where it is a folder here."""
        return self.model if may_be_on_hub(self.model) else None

    def staged(self, models: Path) -> Path:
        """Its folder, which is one in ``models`` if it is downloaded from the hub."""
        return models / self.model.split("/")[1] if self.hub_id else Path(self.model)


# Those that a file may name in a list, without saying what they are.
KNOWN_BASELINES = {"mblip": Baseline("Gregor/mblip-mt0-xl", "mblip")}


def _by_name(value: Any) -> Any:
    if not isinstance(value, list | tuple):
        return value
    for name in value:
        if not isinstance(name, str) or name not in KNOWN_BASELINES:
            raise ValueError(
                f"baselines: {shown(str(name))} is not among those known by name, "
                f"{', '.join(KNOWN_BASELINES)} (remedy: {_BASELINE_FORM})"
            )
    return {name: KNOWN_BASELINES[name] for name in value}


@dataclass(frozen=True, config=STRICT)
class Family:
    """Models by name, each a chain of recipe names, and baselines by name; scored in the ``languages``."""

    models: Annotated[dict[Name, Annotated[tuple[Name, ...], Field(min_length=1)]], Field(min_length=1)]
    baselines: Annotated[dict[Name, Baseline], BeforeValidator(_by_name)] = field(default_factory=dict)
    languages: tuple[Name, ...] = ()

    def stages(self) -> list[tuple[str, ...]]:
        """The training runs: every prefix of every chain once, parents before children."""
        prefixes = [chain[:length] for chain in self.models.values() for length in range(1, len(chain) + 1)]
        return sorted(dict.fromkeys(prefixes), key=len)


def run_name(chain: Sequence[str]) -> str:
    """The folder name of a run: ``mlp-pt-it`` for the chain mlp, pt, it."""
    return "-".join(chain)


def load_family(path: Path) -> Family:
    """Load a family file; the recipes that it names must be in the same folder.

    Raises:
        RecipeError: as `load_recipe`, or a recipe is missing, two models are the same chain, or a baseline's
            name cannot be one.
    """
    family = validated(Family, read_mapping(path), str(path))
    seen: dict[tuple[str, ...], str] = {}
    for model, chain in family.models.items():
        for name in chain:
            if not (path.parent / f"{name}.yaml").is_file():
                raise RecipeError(
                    f"{path}: {model}: no recipe {name}.yaml in {path.parent} (remedy: write it)"
                )
        if chain in seen:
            raise RecipeError(f"{path}: {model} and {seen[chain]} are the same chain (remedy: remove one)")
        seen[chain] = model
    _check_baselines(family, path)
    return family


def _check_baselines(family: Family, path: Path) -> None:
    folders: dict[str, str] = {}
    for name, baseline in family.baselines.items():
        if not _BASELINE_NAME.fullmatch(name):
            raise RecipeError(
                f"{path}: baselines: {shown(name)} is no name for a folder of results "
                "(remedy: letters, digits and . + - _)"
            )
        if name in family.models:
            raise RecipeError(f"{path}: baselines: {name} is also a model (remedy: rename the baseline)")
        if (hub_id := baseline.hub_id) is None:
            continue
        folder = hub_id.split("/")[1]
        if folders.setdefault(folder, hub_id) != hub_id:
            raise RecipeError(
                f"{path}: baselines: {folders[folder]} and {hub_id} are both downloaded to {folder} "
                "(remedy: download one yourself and name its folder)"
            )
