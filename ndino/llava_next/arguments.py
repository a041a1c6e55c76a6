"""A recipe as the command line of LLaVA-NeXT's trainer; no other module knows both."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ndino.formats.recipes import Recipe, RecipeError
from ndino.train.resuming.distribution import Distribution
from ndino.train.rows.steps import steps_of_stage
from ndino.train.rows.workers import loader_workers
from ndino.train.stage import LOGGED_POINTS, PATIENCE_SECONDS

VERSIONS = {"plain": "plain", "llama3": "llava_llama_3"}  # prompt -> upstream's --version
# In upstream image_newline is trained with the language model, here with the projector.
TUNABLE = {
    "vision_tower": "mm_vision_tower",
    "projector": "mm_mlp_adapter",
    "language_model": "mm_language_model",
}


def native_only(recipe: Recipe) -> str | None:
    """What the recipe asks for and the upstream trainer cannot do, with the remedy; None if it can do all."""
    asked = {
        "adapter": recipe.adapter is not None,
        f"optimizer: {recipe.optimizer}": recipe.optimizer != "adamw",
        "eval_rows": recipe.eval_rows > 0,
        f"report_to: {recipe.report_to}": recipe.report_to != "none",
        "packing": recipe.packing,
        "prompt: chat": recipe.prompt == "chat",
    }
    for field, used in asked.items():
        if used:
            return f"recipe {recipe.name}: {field} is for the native engine (remedy: --engine native)"
    return None


@dataclass(frozen=True)
class Inputs:
    """What upstream reads and where it writes.

    ``language_model`` is relative to upstream's working directory. Upstream chooses the model class by words
    anywhere in this path: "llama" must be in it, and none of mistral, mixtral, zephyr and qwen. An absolute
    path could contain any of them.
    """

    language_model: str
    vision_tower: Path
    rows: Path
    image_folder: Path
    out: Path


def lacks_master_weights(recipe: Recipe, distribution: Distribution, *, cpu: bool) -> str | None:
    """Why the recipe cannot be trained so, with the remedy; None if it can.

    In bf16 upstream loads the weights as bf16, and DeepSpeed alone keeps a copy in fp32 for the optimiser.
    Steps of 1e-5 round to nothing in bf16: 15 % of the weights moved in 500 steps, against 99 %.
    """
    if not in_half_precision(recipe, cpu) or distribution.kind.startswith("zero"):
        return None
    return (
        f"recipe {recipe.name}: in bf16 with {distribution} the upstream engine keeps no fp32 weights, so "
        "most steps round to nothing (remedy: DISTRIBUTED=zero2 or zero3 on 2 or more GPUs, ENGINE=native, "
        "or precision: fp32)"
    )


def in_half_precision(recipe: Recipe, cpu: bool) -> bool:
    return recipe.precision == "bf16" and not cpu


def upstream_arguments(
    recipe: Recipe,
    inputs: Inputs,
    *,
    rows: int,
    ranks: int = 1,
    ranks_here: int | None = None,
    cpu: bool = False,
) -> list[str]:
    """Arguments for ``python -m llava.train.train_mem``.

    Args:
        rows: number of rows in the file ``inputs.rows``.
        ranks: processes that train together; gradient accumulation keeps the recipe's effective batch.
        ranks_here: those on one machine, by default all of them; loader workers share its CPUs.
        cpu: train on the CPU, in fp32 and without flash attention.

    Raises:
        RecipeError: the effective batch is not a multiple of per-device batch times ranks, or the recipe
            asks for what upstream cannot do.
    """
    if problem := native_only(recipe):
        raise RecipeError(problem)
    accumulation = recipe.accumulation(ranks)
    steps = steps_of_stage(recipe, rows)
    workers = loader_workers(recipe.loader_workers, rows=rows, ranks_here=ranks_here or ranks)
    values = {
        "model_name_or_path": inputs.language_model,
        "version": VERSIONS[recipe.prompt],
        "supervision": recipe.supervision,
        "plain_ending": recipe.plain_ending,
        "data_path": inputs.rows,
        "image_folder": inputs.image_folder,
        "background": ",".join(map(str, recipe.background)),
        "lazy_preprocess": True,
        "vision_tower": inputs.vision_tower,
        "mm_tunable_parts": ",".join(TUNABLE[part] for part in TUNABLE if part in recipe.trained_parts),
        "mm_projector_type": "mlp2x_gelu",
        "mm_vision_select_layer": recipe.vision_feature_layer,
        "mm_patch_merge_type": "spatial_unpad",
        # Neither marker tokens around an image nor patch tokens in the text: the paper uses none.
        "mm_use_im_start_end": False,
        "mm_use_im_patch_token": False,
        "image_aspect_ratio": "anyres",
        # Recipes have (height, width), upstream reads (width, height).
        "image_grid_pinpoints": str([(width, height) for height, width in recipe.grid_pinpoints]),
        "model_max_length": recipe.max_length,
        "output_dir": inputs.out,
        "per_device_train_batch_size": recipe.per_device_batch,
        "gradient_accumulation_steps": accumulation,
        "max_steps": recipe.max_steps or -1,
        "num_train_epochs": recipe.epochs or 1,
        "learning_rate": recipe.learning_rate,
        "mm_vision_tower_lr": recipe.vision_learning_rate,
        "mm_projector_lr": recipe.projector_learning_rate,
        "lr_scheduler_type": recipe.scheduler,
        "warmup_ratio": recipe.warmup_ratio,
        "weight_decay": recipe.weight_decay,
        "adam_beta1": recipe.adam_betas[0],
        "adam_beta2": recipe.adam_betas[1],
        "bf16": in_half_precision(recipe, cpu),
        "tf32": None if cpu else True,
        "gradient_checkpointing": recipe.gradient_checkpointing,
        "attn_implementation": "sdpa" if cpu else None,
        "save_strategy": "steps",
        "save_steps": recipe.save_steps,
        "save_total_limit": recipe.save_total_limit,
        "logging_steps": max(1, steps // LOGGED_POINTS),
        # Other ranks wait while the first one writes the model or a checkpoint.
        "ddp_timeout": PATIENCE_SECONDS,
        "logging_nan_inf_filter": False,  # it would log another loss for one that is no number
        "seed": recipe.seed,
        "dataloader_num_workers": workers,
        "dataloader_drop_last": True,  # an epoch consists of whole steps: `ndino.train.rows.steps`
        "dataloader_pin_memory": not cpu,
        "use_cpu": cpu,
        "disable_tqdm": True,
        "report_to": "none",
    }
    return [part for name, value in values.items() if value is not None for part in (f"--{name}", str(value))]
