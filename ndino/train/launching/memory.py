"""Whether a machine has the memory that a stage needs, told before its weights are loaded.

Only what is certain is counted: the weights, and for those that are trained their gradients and the
optimiser's moments. Activations come on top, and depend on the batch.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from ndino.common.parsing import read_json
from ndino.formats.model_kinds import weight_files
from ndino.formats.recipes import Recipe
from ndino.train.resuming.distribution import Distribution
from ndino.train.stage import Stage, StageError

GIB = 1024**3
# Bytes per weight: in fp32, as weights and gradients are held; both moments of AdamW; both of them in 8 bits.
FP32, MOMENTS, MOMENTS_8BIT = 4, 8, 2
# What the whole of a vision and a text encoder calls the weights of the first, the only ones that are loaded.
_OF_TOWER = "vision_model."
_PARTS = {"vision_tower.": "vision_tower", "multi_modal_projector.": "projector"}


@dataclass(frozen=True)
class Need:
    """Bytes that one rank needs: in main memory while it loads the weights, and on the device that trains."""

    loading: int
    training: int


def require_memory(stage: Stage, sharing: Distribution, *, ranks_here: int, gpu: int | None) -> None:
    """Refuse a model that is too large for this machine.

    Args:
        sharing: how the ranks share model and optimiser.
        ranks_here: ranks on this machine; each loads the weights.
        gpu: bytes of memory of the GPU that trains; None where a CPU trains.

    Raises:
        StageError: the machine has not the memory; names what is needed and what there is.
    """
    counts = weights_by_part(stage)
    if counts is None:
        return
    need, total, main = needed(counts, stage.recipe), sum(counts.values()), main_memory()
    said = f"{', '.join(map(str, stage.start.values()))}: {total / 1e9:,.2f} billion weights need"
    if gpu is None:
        loading = max(need.loading, need.training) * ranks_here
        if loading > main:
            raise StageError(
                f"{said} {_gib(loading)} of memory to train on the CPU, this machine has {_gib(main)} "
                "(remedy: start from a smaller model, or train on a GPU)"
            )
        return
    if need.loading * ranks_here > main:
        raise StageError(
            f"{said} {_gib(need.loading * ranks_here)} of main memory to be loaded by {ranks_here} rank(s), "
            f"this machine has {_gib(main)} (remedy: fewer ranks, or a smaller model)"
        )
    # ZeRO may keep its share in main memory (zero3_offload).
    share = sharing.ranks if sharing.kind == "fsdp2" else 1
    if not sharing.kind.startswith("zero") and need.training // share > gpu:
        raise StageError(
            f"{said} {_gib(need.training // share)} of a GPU's memory to be trained, it has {_gib(gpu)} "
            "(remedy: share it over several GPUs by FSDP or ZeRO-3, or set an adapter in the recipe)"
        )


def needed(counts: dict[str, int], recipe: Recipe) -> Need:
    """What a rank needs that holds all weights; ``counts`` are the weights of each part."""
    total = sum(counts.values())
    adapter = recipe.adapter
    # Of an adapter the factors are few; the weights beside it are frozen, on GPUs in bf16 or in 4 bits.
    trained = [part for part in recipe.trained_parts if adapter is None or part != "language_model"]
    moving = sum(counts.get(part, 0) for part in trained)
    if adapter is None:
        frozen = FP32
    elif adapter.kind == "lora":
        frozen = 2 if recipe.precision == "bf16" else FP32
    else:
        frozen = 0.5
    moments = {"adamw": MOMENTS, "adamw_8bit": MOMENTS_8BIT, "paged_adamw_8bit": 0}[recipe.optimizer]
    training = moving * (2 * FP32 + moments) + int((total - moving) * frozen)
    return Need(loading=int(total * (FP32 if adapter is None else 2)), training=training)


def weights_by_part(stage: Stage) -> dict[str, int] | None:
    """Weights of the model that the stage starts from, by part; None if not all of them can be counted."""
    found: dict[str, int] = {}
    for role, folder in stage.start.items():
        counted = count_weights(folder)
        if counted is None:
            return None
        for name, size in counted.items():
            part = _part_of(role, name)
            found[part] = found.get(part, 0) + size
    return found


def _part_of(role: str, name: str) -> str:
    if role == "vision_tower":
        return "vision_tower"
    named = (part for start, part in _PARTS.items() if name.startswith(start))
    return next(named, "language_model") if role == "model" else "language_model"


def count_weights(folder: Path) -> dict[str, int] | None:
    """Weights of a model folder by their names, from the file headers only; None if they cannot be read.

    ``.bin`` files are counted as one, by their size. Of a tower beside its text encoder, its own are counted.
    """
    found: dict[str, int] = {}
    try:
        for path in weight_files(folder):
            found |= (
                dict(_sizes(path))
                if path.suffix == ".safetensors"
                else {path.name: path.stat().st_size // _bytes_per_weight(folder)}
            )
    except (OSError, SafetensorError):
        return None
    return {name: size for name, size in found.items() if name.startswith(_OF_TOWER)} or found or None


def main_memory() -> int:
    """Bytes of main memory that this process may use: of the machine, or of its control group."""
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        return installed
    return min(installed, int(limit)) if limit.isdigit() else installed


def _sizes(path: Path) -> Iterator[tuple[str, int]]:
    with safe_open(path, "np") as file:
        for name in file.keys():  # noqa: SIM118
            yield name, math.prod(file.get_slice(name).get_shape())


def _bytes_per_weight(folder: Path) -> int:
    try:
        config = read_json(folder / "config.json")
    except (OSError, ValueError):
        return 2
    return 4 if "32" in str(config.get("dtype", config.get("torch_dtype", ""))) else 2


def _gib(size: int) -> str:
    return f"{size / GIB:,.1f} GiB"
