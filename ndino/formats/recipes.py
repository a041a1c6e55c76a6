"""Training recipes, one YAML per stage (Table 3 of the paper).

A recipe may say ``extends: NAME`` to inherit the fields of another file in its folder. Loading is strict: an
error for an unknown or missing field or a wrong type names the file, the field and what was expected.
"""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal, cast, get_args

import yaml
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from ndino.common.errors import UserError, reason_of, shown, with_remedy
from ndino.common.images import WHITE
from ndino.common.parsing import parse_yaml
from ndino.formats.field_problems import as_written, problems
from ndino.formats.prompts import PlainEnding, PromptFormat, Supervision

# Fields that may change when a run is resumed, because the trained weights do not depend on them. A new field
# of this kind belongs here; any other field is part of a run's identity (`ndino.train.manifest.differences`).
NOT_IN_IDENTITY = {
    "name": "a label",
    "data": "where the rows are; what they are is in the identity by its hash",
    "image_folder": "where the images are",
    "language_model": "where the backbones are; the weights that a run starts from are in its identity",
    "vision_tower": "the same",
    # With loss_average: micro_batch, `ndino.train.manifest` compares it all the same.
    "per_device_batch": "a step adds up the effective batch, whatever the micro-batches",
    "gradient_checkpointing": "computes activations again instead of keeping them",
    "report_to": "who draws the curves",
    "save_steps": "how much a kill costs",
    "save_total_limit": "how many checkpoints to choose from",
    "max_rejected": "which data are refused",
    "on_divergence": "whether to go on when training diverges; steps that were skipped are in the manifest",
    "packing": "a step has the same samples, only without padding between them",
    "loader_workers": "who prepares the batches; the sampler alone decides their order",
}

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
Positive = Annotated[int, Field(gt=0)]
Rate = Annotated[float, Field(gt=0)]
Byte = Annotated[int, Field(ge=0, le=255)]
Share = Annotated[float, Field(ge=0, lt=1)]
Name = Annotated[str, Field(min_length=1)]

Part = Literal["projector", "language_model", "vision_tower"]
PARTS: tuple[Part, ...] = get_args(Part)  # the projector has image_newline, the language model lm_head


class RecipeError(UserError):
    """A recipe or family file that cannot be used; the message names the file, the field and the remedy."""


def _text_or_list(value: Any) -> Any:
    if not isinstance(value, str | list | tuple) or not all(isinstance(part, str) for part in value):
        raise ValueError(
            f"trainable: expected 'projector', 'all' or a list of {', '.join(PARTS)}, found "
            f"{as_written(value)}"
        )
    return value if isinstance(value, str) else tuple(value)


def _named_parts(value: str | tuple[str, ...]) -> str | tuple[str, ...]:
    if isinstance(value, str):
        if value not in ("projector", "all"):
            raise ValueError(
                f"trainable: expected 'projector', 'all' or a list of {', '.join(PARTS)}, found {value!r}"
            )
        return value
    if not value or (unknown := [part for part in value if part not in PARTS]):
        found = repr(unknown[0]) if value else "an empty list"
        raise ValueError(f"trainable: expected a list of {', '.join(PARTS)}, found {found}")
    return tuple(part for part in PARTS if part in value)


@dataclass(frozen=True, config=STRICT)
class Adapter:
    """Low-rank updates (LoRA) of the language model's linear layers, in place of its own weights.

    A layer's output gets ``alpha / r * B A dropout(x)``; A and B have rank ``r``. ``targets`` are names of
    linear layers of the language model. Under ``qlora`` the frozen weights of its layers are held in 4 bits
    (NF4).
    """

    kind: Literal["lora", "qlora"]
    r: Positive = 64
    alpha: Rate = 128.0
    dropout: Share = 0.05
    targets: Annotated[tuple[Name, ...], Field(min_length=1)] = (
        "q_proj",
        "k_proj",
        "v_proj",
        "o_proj",
        "gate_proj",
        "up_proj",
        "down_proj",
    )


@dataclass(frozen=True, config=STRICT)
class Recipe:
    """The hyperparameters and data of one training stage, for both engines.

    Batches are counted in samples, ``max_length`` in tokens with each image counted as its features,
    ``grid_pinpoints`` in pixels as (height, width), ``max_rejected`` as a share of all rows.
    ``loader_workers`` is by the CPUs there are where it is None.
    ``background`` is the colour, red, green and blue, that shows where an image is transparent.
    ``vision_learning_rate`` and ``projector_learning_rate`` default to ``learning_rate`` where they are None.
    ``data`` (LLaVA JSON), ``image_folder``, ``language_model`` and ``vision_tower`` are relative to the
    working directory. The last two are the backbones to start from where the command names no start. Exactly
    one of ``epochs`` and ``max_steps`` is set. ``system`` is the system prompt of ``prompt: chat``, where
    None leaves it to the template; ``thinking`` is whether the model thinks before it answers.
    """

    name: Name
    prompt: PromptFormat
    supervision: Supervision
    trainable: Annotated[str | tuple[str, ...], BeforeValidator(_text_or_list), AfterValidator(_named_parts)]
    data: Name
    image_folder: Name
    learning_rate: Rate
    vision_learning_rate: Rate | None
    projector_learning_rate: Rate | None
    effective_batch: Positive
    per_device_batch: Positive
    epochs: Rate | None
    max_steps: Positive | None
    scheduler: Literal["cosine"]
    warmup_ratio: Share
    weight_decay: Annotated[float, Field(ge=0)]
    adam_betas: tuple[Share, Share]
    max_length: Positive
    grid_pinpoints: Annotated[tuple[tuple[Positive, Positive], ...], Field(min_length=1)]
    vision_feature_layer: int
    gradient_checkpointing: bool
    precision: Literal["bf16", "fp32"]
    save_steps: Positive
    save_total_limit: Positive
    seed: Annotated[int, Field(ge=0)]
    plain_ending: PlainEnding
    loader_workers: Annotated[int, Field(ge=0)] | None
    max_rejected: Annotated[float, Field(ge=0, le=1)] = 0.01
    on_divergence: Literal["stop", "skip"] = "stop"
    packing: bool = False
    adapter: Adapter | None = None
    optimizer: Literal["adamw", "adamw_8bit", "paged_adamw_8bit"] = "adamw"
    # Within an optimiser step: the mean over all supervised tokens, or over each micro-batch of
    # per_device_batch samples and then over these.
    loss_average: Literal["micro_batch", "token"] = "micro_batch"
    eval_rows: Annotated[int, Field(ge=0)] = 0
    report_to: Literal["none", "tensorboard", "wandb", "trackio"] = "none"
    background: tuple[Byte, Byte, Byte] = WHITE
    # Of prompt: chat alone (docs/training.md, "Prompts").
    system: Name | None = None
    thinking: bool = False
    language_model: Name | None = None
    vision_tower: Name | None = None

    def __post_init__(self) -> None:
        if (self.epochs is None) == (self.max_steps is None):
            raise ValueError(
                "epochs and max_steps cannot both be set or both be null (remedy: set one to null)"
            )
        if self.adapter is not None and "language_model" not in self.trained_parts:
            raise ValueError(
                "adapter: the language model is not trained (remedy: add language_model to trainable, or "
                "remove the adapter)"
            )
        if self.prompt == "llama3" and (self.system is not None or self.thinking):
            raise ValueError(
                "prompt: llama3 has neither system nor thinking (remedy: set prompt: chat, or remove them)"
            )

    @property
    def trained_parts(self) -> tuple[Part, ...]:
        """The parts that ``trainable`` names. With an adapter, it alone is trained of the language model."""
        if isinstance(self.trainable, str):
            return PARTS if self.trainable == "all" else ("projector",)
        return cast("tuple[Part, ...]", self.trainable)

    @property
    def divides_all_images(self) -> bool:
        """Whether each of several images of a sample is divided into tiles, or is one square tile.

        transformers' processor divides every image and has no setting for that. With the tokenizer's template
        a model is trained as it is published; with the paper's prompts as the paper's code trains it.
        """
        return self.prompt == "chat"

    def accumulation(self, ranks: int) -> int:
        """Gradient accumulation steps: micro-batches that each of ``ranks`` processes adds up for one step.

        Raises:
            RecipeError: the effective batch is not a multiple of per-device batch times ranks.
        """
        share = self.per_device_batch * ranks
        if self.effective_batch % share:
            raise RecipeError(
                f"recipe {self.name}: an effective batch of {self.effective_batch} cannot be split over "
                f"{ranks} rank(s) x {self.per_device_batch} samples (remedy: {self._remedy(ranks)})"
            )
        return self.effective_batch // share

    def _remedy(self, ranks: int) -> str:
        if self.effective_batch % ranks:
            return f"take a number of ranks that divides {self.effective_batch}"
        fitting = next(
            size for size in range(self.per_device_batch, 0, -1) if not self.effective_batch % (ranks * size)
        )
        return f"set per_device_batch: {fitting} in the recipe, or take another number of ranks"


def load_recipe(path: Path, overrides: Path | None = None) -> Recipe:
    """Load the recipe at ``path``.

    Args:
        path: ``NAME.yaml``; the files that it extends are in the same folder.
        overrides: a YAML file ``{NAME: {field: value}}``. Its fields count as if they were the last lines of
            NAME.yaml, so fields for ``base`` apply to every recipe that extends it.

    Raises:
        RecipeError: a file is missing or not a YAML mapping, or a field is unknown, missing or wrong.
    """
    changes = read_mapping(overrides) if overrides else {}
    for name, changed in changes.items():
        if not (path.parent / f"{name}.yaml").is_file():
            raise RecipeError(
                f"{overrides}: no recipe {name!r} beside {path} (remedy: name a recipe of that folder)"
            )
        if not isinstance(changed, dict):
            raise RecipeError(
                f"{overrides}: {name}: is {shown(changed)}, not fields and values "
                "(remedy: write FIELD: VALUE)"
            )
    values: dict[str, Any] = {}
    for file in _lineage(path):
        values |= {key: value for key, value in read_mapping(file).items() if key != "extends"}
        values |= changes.get(file.stem, {})
    where = f"{path} with {overrides}" if overrides else str(path)
    if "models" in values and _are_a_family(values):
        raise RecipeError(
            f"{where}: is not a recipe but a family, a list of models (remedy: name the recipe of one stage)"
        )
    if "name" in values:
        raise RecipeError(f"{where}: name: a recipe is named by its file (remedy: remove the line)")
    return validated(Recipe, {"name": path.stem, **values}, where)


def _are_a_family(values: dict[str, Any]) -> bool:
    from ndino.formats.family import Family  # late: its module imports this one

    return values.keys() <= {field.name for field in fields(Family)}


def _lineage(path: Path) -> list[Path]:
    files = [path]
    while (parent := read_mapping(files[0]).get("extends")) is not None:
        file = path.parent / f"{parent}.yaml"
        if file in files:
            raise RecipeError(
                f"{files[0]}: extends: {parent} extends this file in turn (remedy: break the cycle)"
            )
        if not file.is_file():
            raise RecipeError(
                f"{files[0]}: extends: there is no {file} (remedy: name a recipe of that folder)"
            )
        files.insert(0, file)
    return files


def read_mapping(path: Path) -> dict[str, Any]:
    """The fields and values in a YAML file.

    Raises:
        RecipeError: it cannot be read, or is something else.
    """
    try:
        content = parse_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"{path}: {error.strerror} (remedy: check the path)") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: broken YAML: {reason_of(error)} (remedy: correct it there)") from error
    if not isinstance(content, dict):
        raise RecipeError(
            f"{path}: is a {type(content).__name__}, not fields and values (remedy: write FIELD: VALUE)"
        )
    return content


def validated(kind: type, values: dict[str, Any], where: str) -> Any:
    """A ``kind`` of dataclass with these values, read from ``where``.

    Raises:
        RecipeError: a field is unknown, missing or wrong.
    """
    try:
        # Through JSON, because pydantic's strict mode then accepts a list for a tuple (YAML has no tuples)
        # and still never a string for a number.
        return TypeAdapter(kind).validate_json(json.dumps(values, default=str))
    except ValidationError as error:
        found = "; ".join(problems(error.errors()))
        raise RecipeError(with_remedy(f"{where}: {found}", "correct it there")) from error
