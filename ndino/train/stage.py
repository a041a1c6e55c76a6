"""A training stage: what to train and from where, and what both engines do around it.

`ndino.train.engine` and `ndino.llava_next.engine` each hold a ``run_stage`` that trains a `Stage`. Importing
this module loads neither PyTorch nor transformers: the cluster's checks use it on login nodes.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ndino.common.errors import Stopped, UsageError, UserError, no_room, with_remedy
from ndino.common.files import nearest_existing, write_text
from ndino.common.hub import may_be_on_hub
from ndino.common.options import CommandParser, need_file, need_folder
from ndino.formats.llava_json import need_images
from ndino.formats.recipes import Recipe, load_recipe

OnStep = Callable[[int, int], None]  # called after each optimiser step with (step, total steps)
REJECTS = "rejects.txt"
REMEDY = "(remedy: "
LOGGED_POINTS = 100  # points of the loss curve in a manifest
PATIENCE_SECONDS = 3 * 3600  # until ranks that wait for another one give up
DISK_RESERVE = 1 << 20  # bytes; with less free than this, a failed write failed because the disk is full


class StageError(UserError):
    """A stage that cannot run; the message says what to change."""


class RefusedStartError(StageError):
    """A start that the run in its folder does not allow: it changes no file, and the run has not failed."""


class StageStopped(Stopped):
    """A signal ended training before its last step; rerun to resume from the checkpoint that was saved."""


@dataclass(frozen=True)
class Stage:
    """What to train, and where to start: from ``model``, or from ``language_model`` and ``vision_tower``.

    ``model`` is the folder of an earlier stage, the other two are backbones to join by a new projector. For
    the upstream engine ``vision_tower`` may stand beside ``model``: where that model's tower is.

    Raises:
        UsageError: neither start is given, or both are.
    """

    recipe: Recipe
    data: Path
    image_folder: Path
    out: Path
    model: Path | None = None
    language_model: Path | None = None
    vision_tower: Path | None = None

    def __post_init__(self) -> None:
        fresh = self.language_model is not None and self.vision_tower is not None
        if (self.model is not None) == fresh or (self.model and self.language_model):
            raise UsageError(
                "a stage starts from an earlier one or from two backbones "
                "(remedy: give either --model or --language-model and --vision-tower, or these in the recipe)"
            )

    @property
    def start(self) -> dict[str, Path]:
        """The folders the stage starts from, by role; part of the run's identity."""
        if self.model is not None:
            tower = {} if self.vision_tower is None else {"vision_tower": self.vision_tower}
            return {"model": self.model, **tower}
        assert self.language_model is not None and self.vision_tower is not None  # see __post_init__
        return {"language_model": self.language_model, "vision_tower": self.vision_tower}


def add_stage_arguments(parser: CommandParser) -> None:
    """The arguments that `stage_of` reads, and ``--engine``."""
    add = parser.add_argument
    add("recipe", type=Path, metavar="RECIPE", help="recipe of the stage, a YAML file of launch/recipes")
    add("--out", type=Path, required=True, metavar="FOLDER", help="folder of this run")
    add(
        "--engine",
        choices=("native", "llava-next"),
        default="native",
        help="native: our trainer; llava-next: the patched upstream trainer (default: %(default)s)",
    )
    add(
        "--model",
        type=Path,
        metavar="FOLDER",
        help="start from an earlier stage: its folder model, or upstream with --engine llava-next",
    )
    add(
        "--language-model",
        type=Path,
        metavar="FOLDER",
        help="start from this causal language model (with --vision-tower; default: the recipe's)",
    )
    add(
        "--vision-tower",
        type=Path,
        metavar="FOLDER",
        help="start from this CLIP, SigLIP or SigLIP 2 (with --language-model; default: the recipe's); "
        "with --model and --engine llava-next, the folder of that model's CLIP, where its "
        "config.json names another place",
    )
    add(
        "--data", type=Path, metavar="FILE", help="training data, LLaVA JSON or JSONL (default: the recipe's)"
    )
    add("--images", type=Path, metavar="FOLDER", help="folder of its images (default: the recipe's)")
    add(
        "--overrides",
        type=Path,
        metavar="FILE",
        help="YAML {recipe: {field: value}} that changes fields of the recipe",
    )
    parser.keep_former_name("--image-folder", "--images")


def stage_of(options: argparse.Namespace) -> Stage:
    """What the options of `add_stage_arguments` ask for.

    Raises:
        RecipeError: the recipe cannot be used.
        UsageError: there is no start, or two, or the recipe or the overrides do not exist.
    """
    need_file(options.recipe, "name a YAML file of launch/recipes")
    if options.overrides is not None:
        need_file(options.overrides, "name a YAML file, or leave --overrides out")
    recipe = load_recipe(options.recipe, options.overrides)
    data, images = options.data or Path(recipe.data), options.images or Path(recipe.image_folder)
    language_model, vision_tower = options.language_model, options.vision_tower
    if options.model is None:
        language_model = language_model or _named(recipe.language_model)
        vision_tower = vision_tower or _named(recipe.vision_tower)
    return Stage(
        # As run.json and the manifest keep it: with the data that are used.
        recipe=replace(recipe, data=str(data), image_folder=str(images)),
        data=data,
        image_folder=images,
        out=options.out,
        model=options.model,
        language_model=language_model,
        vision_tower=vision_tower,
    )


def _named(folder: str | None) -> Path | None:
    return None if folder is None else Path(folder)


def require_inputs(stage: Stage) -> None:
    """Check that the data and the models to start from exist; data of text alone need no folder of images.

    Raises:
        UsageError: one does not; names it.
        ConversationError: the folder of images is not there, and the data are not a list of rows.
    """
    need_file(stage.data, "name a LLaVA .json or .jsonl file with --data, or in the recipe's data")
    remedy = "name the folder of the images with --images, or in image_folder"
    need_images(stage.data, stage.image_folder, remedy)
    if stage.model is not None:
        need_folder(stage.model, "train the stage before it first, or name its model folder")
    for folder, what in (
        (stage.language_model, "a language model"),
        (stage.vision_tower, "a vision tower"),
    ):
        if folder is not None:
            on_hub = (
                f"hf download {folder} --local-dir models/{folder.name}, and "
                if may_be_on_hub(str(folder))
                else ""
            )
            need_folder(folder, f"{on_hub}name the folder of {what}")


def is_first_rank() -> bool:
    """Whether this process is the only one, or rank 0 of those that a launcher started together."""
    return int(os.environ.get("RANK", "0")) == 0


def write_rejects(rejects: Sequence[str], usable: int, stage: Stage) -> None:
    """Write the reasons for the rejected rows to ``rejects.txt``, and print how many and the first.

    Raises:
        StageError: no row is usable, or more are rejected than the recipe's ``max_rejected`` allows.
    """
    path = stage.out / REJECTS
    if is_first_rank():
        path.unlink(missing_ok=True)
        if rejects:
            write_text(path, "\n".join(rejects) + "\n")
            print(
                f"{len(rejects)} row(s) of {stage.data} rejected, reasons in {path}; the first: {rejects[0]}"
            )
    if not usable:
        first = f"; {path} lists {len(rejects)}, the first: {rejects[0]}" if rejects else ""
        raise StageError(with_remedy(f"{stage.data}: no usable row{first}", "give a file with usable rows"))
    require_few_rejects(len(rejects), usable, stage, lines=rejects)


def append_rejects(lines: Sequence[str], stage: Stage) -> None:
    """Add rows that were found unusable while training to ``rejects.txt``."""
    path = stage.out / REJECTS
    held = path.read_text(encoding="utf-8") if path.exists() else ""
    write_text(path, held + "".join(f"{line}\n" for line in lines))


def require_few_rejects(rejected: int, usable: int, stage: Stage, *, lines: Sequence[str] = ()) -> None:
    """Refuse data of which too many rows are unusable: a folder of images may be missing.

    Args:
        lines: the rejects as in ``rejects.txt``; the commonest remedy in them is told.

    Raises:
        StageError: the share is above the recipe's ``max_rejected``.
    """
    if problem := too_many_rejects(rejected, usable, stage, listed_in=stage.out / REJECTS, lines=lines):
        raise StageError(problem)


def too_many_rejects(
    rejected: int, usable: int, stage: Stage, *, listed_in: Path | None = None, lines: Sequence[str] = ()
) -> str | None:
    """What is wrong if the share of rejected rows is above the recipe's ``max_rejected``, else None."""
    allowed, share = stage.recipe.max_rejected, rejected / max(1, rejected + usable)
    if share <= allowed:
        return None
    rows, example = f"repair the rows in {listed_in}" if listed_in else "repair them", ""
    parted = [line.removesuffix(")").rpartition(f" {REMEDY}") for line in lines if REMEDY in line]
    if parted:
        remedy, count = Counter(remedy for *_, remedy in parted).most_common(1)[0]
        example = f"; {next(what for what, _, its in parted if its == remedy)}"
        rows = f"{remedy}, for {count:,} of them; {listed_in} lists all"
    return (
        f"{stage.data}: {rejected:,} of {rejected + usable:,} rows cannot be used, {share:.1%}, and "
        f"max_rejected allows {allowed:.1%}{example} (remedy: {rows}; or raise max_rejected in the recipe)"
    )


def nothing_to_learn(recipe: Recipe, data: Path, *, images: bool) -> str | None:
    """What is wrong if a stage that trains only the projector has no image in its data, else None."""
    if images or "language_model" in recipe.trained_parts:
        return None
    return (
        f"{data}: no row has an image, so a stage that trains only the projector would learn nothing "
        "(remedy: name data with images, or set trainable: all in the recipe)"
    )


@contextlib.contextmanager
def report_full_disk(out: Path, *others: Path) -> Iterator[None]:
    """Turn any error raised while the disk of ``out`` is full into a StageError that says so.

    Args:
        others: further folders that are written in. One of them is named if the system says that a disk is
            full, and it is not that of ``out``.
    """
    # safetensors and torch report a full disk as errors of their own, in words that do not say so.
    try:
        yield
    except Exception as error:
        said, told = no_room(error), isinstance(error, UserError | Stopped)
        if not said and (told or _free_bytes(out) > DISK_RESERVE):
            raise
        full = next((folder for folder in (out, *others) if _free_bytes(folder) <= DISK_RESERVE), out)
        raise StageError(
            f"{full}: the disk is full (remedy: make room, then rerun to resume from the newest checkpoint)"
        ) from error


def _free_bytes(folder: Path) -> int:
    """Of the disk of a folder that may not be there yet."""
    return shutil.disk_usage(nearest_existing(folder)).free
