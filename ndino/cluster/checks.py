"""Checks of a training job before submission and before it starts; a problem is one line with its remedy."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec

from ndino.cluster.survey import survey_images
from ndino.common.errors import with_remedy
from ndino.common.files import nearest_existing
from ndino.formats.image_files import image_fault
from ndino.formats.llava_json import ConversationError, is_text_only
from ndino.formats.model_kinds import ModelFolderError
from ndino.formats.recipes import Recipe
from ndino.llava_next.arguments import in_half_precision, lacks_master_weights, native_only
from ndino.train.launching.memory import GIB, weights_by_part
from ndino.train.manifest import identity
from ndino.train.resuming.distribution import planned
from ndino.train.resuming.run_folder import belongs_to, in_use, read_run, require_resumable
from ndino.train.rows.steps import no_step
from ndino.train.stage import (
    Stage,
    StageError,
    nothing_to_learn,
    too_many_rejects,
)
from ndino.train.start import check_folder

# Bytes per weight in a checkpoint: AdamW's two moments and the weights in fp32 (bf16 runs keep fp32 masters),
# and under ZeRO the weights once more in bf16. Bytes per weight of the published model: fp32 at most.
BYTES_TRAINED, BYTES_PUBLISHED = 14, 4


@dataclass(frozen=True)
class Allocation:
    """What a job gets and how it uses it.

    Attributes:
        nodes: number of nodes.
        gpus: GPUs per node; each is one rank.
        device: ``cuda``, or ``cpu`` for tests.
        distributed: how ranks share the model: the name of a file in ``launch/accelerate``.
        image: the engine's container image; empty if it runs outside one.
    """

    nodes: int
    gpus: int
    device: str = "cuda"
    distributed: str = "ddp"
    image: str = ""

    @property
    def ranks(self) -> int:
        return self.nodes * self.gpus


@dataclass(frozen=True)
class Findings:
    """The ``problems`` that forbid the job, and the ``facts`` that passed."""

    problems: tuple[str, ...]
    facts: tuple[str, ...]


def check(stage: Stage, allocation: Allocation, *, engine: str, every_image: bool = True) -> Findings:
    """Run every check that needs no GPU, and report all problems, not only the first.

    Args:
        every_image: open the header of every image. Not needed where the stage begins at once: it opens them
            itself, and only if its data are not indexed yet.
    """
    data = _data if every_image else _first_images
    return _run(
        (_ranks, _packages, _folders, data, _context, _out, _memory, _disk), stage, allocation, engine
    )


def check_before_parent(stage: Stage, allocation: Allocation, *, engine: str) -> Findings:
    """`check` for a stage whose parent is not trained yet: skips its starting point and its output folder.

    ``stage`` must start from the untrained backbones, which are as large as the parent will be.
    """
    return _run((_ranks, _packages, _data, _context, _memory, _disk), stage, allocation, engine)


def _run(
    parts: tuple[Callable[..., Lines], ...], stage: Stage, allocation: Allocation, engine: str
) -> Findings:
    problems: list[str] = []
    facts: list[str] = []
    for part in parts:
        for good, line in part(stage, allocation, engine):
            (facts if good else problems).append(line)
    return Findings(tuple(problems), tuple(facts))


def gpus_seen(allocation: Allocation, count: Callable[[], int]) -> str | None:
    """The problem if PyTorch sees fewer GPUs on this node than the job has; ``count`` counts them."""
    found = count()
    if found >= allocation.gpus:
        return None
    return (
        f"PyTorch sees {found} GPU(s) of {allocation.gpus} on this node (remedy: request "
        f"--gres=gpu:{allocation.gpus}, and check driver, image and --nv)"
    )


Lines = Iterator[tuple[bool, str]]


def _ranks(stage: Stage, allocation: Allocation, engine: str) -> Lines:
    if allocation.gpus < 1:
        yield False, "the job has no GPU (remedy: --gres=gpu:4 on the sbatch line)"
        return
    recipe = stage.recipe
    try:
        accumulation = recipe.accumulation(allocation.ranks)
    except ValueError as error:
        yield False, str(error)
    else:
        yield (
            True,
            f"recipe {recipe.name}: {recipe.effective_batch} = {allocation.nodes} node(s) x "
            f"{allocation.gpus} x {recipe.per_device_batch} samples x {accumulation} accumulated",
        )


def _packages(stage: Stage, allocation: Allocation, engine: str) -> Lines:
    if engine == "llava-next":
        yield from _upstream(stage, allocation)
        return
    sharing = planned(allocation.distributed, allocation.ranks).kind
    if sharing.startswith("zero") and not find_spec("deepspeed"):
        yield (
            False,
            f"DISTRIBUTED={allocation.distributed} needs DeepSpeed, which is not installed (remedy: make "
            "deepspeed, or DISTRIBUTED=fsdp)",
        )


def _upstream(stage: Stage, allocation: Allocation) -> Lines:
    if problem := native_only(stage.recipe):
        yield False, problem
    distribution = planned(allocation.distributed, allocation.ranks)
    if problem := lacks_master_weights(stage.recipe, distribution, cpu=allocation.device == "cpu"):
        yield False, problem
    if allocation.ranks > 1 and allocation.distributed == "fsdp":
        # Its transformers cannot save a whole model from FSDP shards. It would fail only after the last step.
        yield False, "DISTRIBUTED=fsdp is for ENGINE=native (remedy: DISTRIBUTED=zero3)"
    if not allocation.image:
        from ndino.llava_next.engine import find_tree

        try:
            yield True, f"trainer: {find_tree().folder}"
        except StageError as error:
            yield False, str(error)


def _folders(stage: Stage, allocation: Allocation, engine: str) -> Lines:
    remedies = {
        "model": "train its parent stage first, or set FROM=",
        "language_model": "LANGUAGE_MODEL= names a language model's folder; make stage-weights fetches one",
        "vision_tower": "VISION_TOWER= names a vision tower's folder; make stage-weights fetches one",
    }
    for role, folder in stage.start.items():
        if not folder.is_dir():
            yield False, f"{folder}: no such folder (remedy: {remedies[role]})"
            continue
        try:
            check_folder(stage, role, upstream=engine == "llava-next")
        except ModelFolderError as error:
            yield False, str(error)
        else:
            yield True, f"start: {folder}"


def _data(stage: Stage, allocation: Allocation, engine: str) -> Lines:
    return _rows(stage, allocation, every_image=True)


def _first_images(stage: Stage, allocation: Allocation, engine: str) -> Lines:
    return _rows(stage, allocation, every_image=False)


def _rows(stage: Stage, allocation: Allocation, *, every_image: bool) -> Lines:
    try:
        if not stage.image_folder.is_dir() and not (stage.data.exists() and is_text_only(stage.data)):
            yield False, f"{stage.image_folder}: no such image folder (remedy: image_folder in the recipe)"
            if not stage.data.exists():
                yield False, f"{stage.data}: no such file (remedy: data in the recipe)"
            return
        changed = stage.data.stat().st_mtime_ns
        survey = survey_images(stage.data, stage.image_folder, every_image, changed)
    except ConversationError as error:
        yield False, str(error)
        return
    except OSError as error:
        yield False, f"{stage.data}: {error.strerror} (remedy: data in the recipe)"
        return
    if not survey.rows:
        first = f"; the first: {survey.first_fault}" if survey.faulty else ""
        yield False, with_remedy(f"{stage.data}: no usable row{first}", "data in the recipe")
        return
    rejected, usable = survey.faulty + survey.without_image, survey.rows - survey.without_image
    problem = too_many_rejects(rejected, usable, stage)
    if problem:
        kinds = f"{survey.faulty} faulty, {survey.without_image} without an image that opens"
        yield False, f"{problem}: {kinds}; the first: {survey.first_fault}"
        return
    left_out = f", {rejected} left out; the first: {survey.first_fault}" if rejected else ""
    yield True, f"data: {stage.data}, {survey.rows} rows{left_out}"
    if problem := nothing_to_learn(stage.recipe, stage.data, images=bool(survey.first_images)):
        yield False, problem
    trained = usable - stage.recipe.eval_rows
    if allocation.gpus and (problem := no_step(stage.recipe, trained, stage.data, ranks=allocation.ranks)):
        yield False, problem
    first_images = survey.first_images
    broken = [line for image in first_images if (line := image_fault(image, stage.image_folder))]
    if len(broken) > stage.recipe.max_rejected * len(first_images):
        which = f"{len(broken)} of the first {len(first_images)} images do not open"
        if len(broken) == len(first_images):
            which = f"none of the first {len(first_images)} images opens"
        yield False, with_remedy(f"{which}; the first: {broken[0]}", "copy the images again")
    elif every_image:
        yield True, f"images: {survey.images} have a header, the first {len(first_images)} open"
    else:
        yield True, f"images: the first {len(first_images)} open"


def _context(stage: Stage, allocation: Allocation, engine: str) -> Lines:
    # Imported late: it loads transformers, which help and plans need not wait for.
    from ndino.train.rows.context import beyond_context, indexes_at_hand, limit_above, stage_context

    try:
        context = stage_context(stage)
    except ModelFolderError:  # `_folders` says so
        return
    if stage.recipe.max_length <= context:
        return
    # Without an index the lengths of rows are not known.
    found = [beyond_context(stage, context, index) for index in indexes_at_hand(stage)]
    if found and found[0] is not None and all(found):
        yield False, found[0]
    elif found:
        yield True, f"{limit_above(stage, context)}; no row is longer than that"
    else:
        yield True, f"{limit_above(stage, context)}: longer rows will be refused when they are indexed"


def _out(stage: Stage, allocation: Allocation, engine: str) -> Lines:
    if (problem := in_use(stage.out)) is not None:
        yield False, problem
    try:
        if read_run(stage.out) is None or not stage.data.is_file():
            return
        # The upstream engine records more, such as its commit: it compares that itself.
        belongs_to(stage.out, {**identity(stage.recipe, stage.data, stage.start), "engine": engine})
        require_resumable(
            stage.out, planned(allocation.distributed, allocation.ranks), converts=engine == "native"
        )
    except StageError as error:
        yield False, str(error)
    else:
        yield True, f"resumes in {stage.out}"


def _parameters(stage: Stage) -> int | None:
    """Weights of the stage's start, None if not all of them can be counted."""
    counts = weights_by_part(stage)
    return None if counts is None else sum(counts.values())


def _memory(stage: Stage, allocation: Allocation, engine: str) -> Lines:
    if (parameters := _parameters(stage)) is None:
        return
    cpu = allocation.device == "cpu"
    half = engine == "llava-next" and in_half_precision(stage.recipe, cpu)
    needed = memory_needed(parameters, allocation.gpus, half=half)
    line = f"{needed / GIB:,.1f} GiB a node to load the weights on {allocation.gpus} rank(s)"
    granted = memory_granted(os.environ)
    if granted is None:
        yield True, f"memory: {line}"
    elif granted < needed:
        yield (
            False,
            f"{line}, and the job has {granted / GIB:,.1f} (remedy: sbatch --mem=0, or fewer GPUs a node)",
        )
    else:
        yield True, f"memory: {line}, {granted / GIB:,.1f} GiB granted"


def memory_needed(parameters: int, ranks: int, *, half: bool) -> int:
    """Bytes of main memory of a node while its ``ranks`` load the weights, before they go to the GPUs.

    Each rank converts them to a copy of its own; the file, in bf16 at most of these sizes, is mapped and
    shared. Measured with 304 M weights: 4.02 bytes a weight and rank, and 2.02 of the file.
    """
    return parameters * (ranks * (2 if half else 4) + 2)


def memory_granted(environment: Mapping[str, str]) -> int | None:
    """Bytes of memory that a job has on this node, by SLURM's variables; None outside a job."""
    if "SLURM_JOB_ID" not in environment:
        return None
    if size := int(environment.get("SLURM_MEM_PER_NODE", "0")):  # MiB; 0 is all that the node has
        return size << 20
    if size := int(environment.get("SLURM_MEM_PER_CPU", "0")):
        return (size << 20) * int(environment.get("SLURM_CPUS_ON_NODE", "1"))
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _disk(stage: Stage, allocation: Allocation, engine: str) -> Lines:
    if (parameters := _parameters(stage)) is None:
        return
    needed = disk_needed(parameters, stage.recipe)
    existing = nearest_existing(stage.out.resolve())
    free = shutil.disk_usage(existing).free
    line = f"{needed / GIB:,.1f} GiB for checkpoints and model, {free / GIB:,.1f} GiB free in {existing}"
    if free < needed:
        yield False, f"{line} (remedy: make room, or RUNS= on another file system)"
    else:
        yield True, f"disk: {line}"


def disk_needed(parameters: int, recipe: Recipe) -> int:
    """Peak disk use of a stage in bytes: the kept checkpoints, one being written, and the published model.

    A quota that the file system does not report cannot be taken into account.
    """
    # The projector stage trains 0.5 % of the 8B model, but its checkpoints contain the frozen weights too.
    if recipe.adapter is not None:
        # Factors of a layer that is a few thousand wide and of the projector; frozen weights are not saved.
        checkpoint = int(parameters * BYTES_TRAINED * min(1, 2 * recipe.adapter.r / 1024))
    elif "language_model" in recipe.trained_parts:
        checkpoint = parameters * BYTES_TRAINED
    else:
        checkpoint = parameters * BYTES_PUBLISHED
    return checkpoint * (recipe.save_total_limit + 1) + parameters * BYTES_PUBLISHED
