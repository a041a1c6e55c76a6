"""A stage before anything of it is loaded: what to train, from where, and whose its folder is."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

from ndino.formats.recipes import Recipe, load_recipe


class StageError(RuntimeError):
    """A stage that cannot run; the message says what to change."""


@dataclass(frozen=True)
class Stage:
    """What to train, from ``model`` (an earlier stage's) or ``language_model`` and ``vision_tower``."""

    recipe: Recipe
    data: Path
    image_folder: Path
    out: Path
    model: Path | None = None
    language_model: Path | None = None
    vision_tower: Path | None = None

    def __post_init__(self) -> None:
        fresh = self.language_model is not None and self.vision_tower is not None
        if (self.model is not None) == fresh:
            raise StageError("a stage starts either from --model or from --language-model and --vision-tower")

    @property
    def start(self) -> dict[str, Path]:
        if self.model is not None:
            return {"model": self.model}
        return {"language_model": self.language_model, "vision_tower": self.vision_tower}


def add_stage_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments that `stage_of` reads, and ``--engine``."""
    parser.add_argument("recipe", type=Path, help="a YAML of launch/recipes")
    parser.add_argument("--out", type=Path, required=True, help="folder of this run")
    parser.add_argument(
        "--engine", choices=("native", "llava-next"), default="native", help="default: native"
    )
    parser.add_argument(
        "--model",
        type=Path,
        help="start from an earlier stage: its model folder, or upstream with llava-next",
    )
    parser.add_argument(
        "--language-model", type=Path, help="start from this LLaMA folder (with --vision-tower)"
    )
    parser.add_argument(
        "--vision-tower", type=Path, help="start from this CLIP folder (with --language-model)"
    )
    parser.add_argument("--data", type=Path, help="LLaVA JSON or JSONL (default: the recipe's)")
    parser.add_argument("--image-folder", type=Path, help="folder of its images (default: the recipe's)")
    parser.add_argument(
        "--overrides", type=Path, help="YAML {recipe: {field: value}} that changes the recipe"
    )


def stage_of(options: argparse.Namespace) -> Stage:
    """What the options of `add_stage_arguments` ask for.

    Raises:
        RecipeError: the recipe cannot be used.
        StageError: there is no start, or two.
    """
    recipe = load_recipe(options.recipe, options.overrides)
    return Stage(
        recipe=recipe,
        data=options.data or Path(recipe.data),
        image_folder=options.image_folder or Path(recipe.image_folder),
        out=options.out,
        model=options.model,
        language_model=options.language_model,
        vision_tower=options.vision_tower,
    )


def belongs_to(out: Path, run: dict) -> bool:
    """Whether ``out`` holds this very run; False when it holds none.

    Raises:
        StageError: it holds a different one.
    """
    path = out / "run.json"
    if not path.exists():
        return False
    held = json.loads(path.read_text(encoding="utf-8"))
    if held != run:
        differing = [key for key in run if held.get(key) != run[key]]
        raise StageError(
            f"{out}: holds a run with another {' and '.join(differing)} "
            "(remove the folder or choose another --out)"
        )
    return True
