"""The upstream engine: trains one stage with LLaVA-NeXT's trainer, converts the result, writes the manifest.

The trainer runs as a process of its own, in ``.venv-llava``. The run folder has the native engine's layout,
and beside ``model/`` the folder ``upstream/``: the result in LLaVA-NeXT's format, from which the next stage
starts.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from ndino.common.errors import reason_of
from ndino.common.files import WEIGHTS, fingerprint, require_open, write_json
from ndino.common.parsing import read_json
from ndino.export.converter import convert
from ndino.export.errors import ConversionError
from ndino.export.settings import read_tokenizer
from ndino.export.verify import verify
from ndino.formats.backbones.tower import read_tower
from ndino.formats.finite import non_finite_in_folder, not_finite
from ndino.formats.llava_json import ROLES, Conversation, read_conversations, write_conversations
from ndino.formats.model_kinds import ModelFolderError
from ndino.formats.recipes import RecipeError
from ndino.llava_next.arguments import Inputs, lacks_master_weights, native_only, upstream_arguments
from ndino.llava_next.process import run_trainer
from ndino.llava_next.start import (
    LANGUAGE_MODEL,
    TOWER,
    link_language_model,
    link_vision_tower,
)
from ndino.train.build import build_processor
from ndino.train.callbacks import STOP_SIGNALS, StopOnSignal
from ndino.train.checkpoints import newest_complete_checkpoint, settle_checkpoints, step_of
from ndino.train.manifest import identity
from ndino.train.resuming.distribution import planned
from ndino.train.resuming.published import is_published
from ndino.train.resuming.run_folder import IN_RANDOM_ORDER, belongs_to, require_resumable, write_run
from ndino.train.rows.context import require_context
from ndino.train.rows.cut import report_cut_rows
from ndino.train.rows.run_index import stage_index
from ndino.train.rows.steps import require_steps
from ndino.train.stage import (
    OnStep,
    Stage,
    StageError,
    StageStopped,
    report_full_disk,
    write_rejects,
)
from ndino.train.start import check_start, find_tower
from ndino.upstream import UpstreamError, llava_next_folder
from ndino.upstream.pins import LLAVA_NEXT, ROOT, read_pins

ENGINE = "llava-next"
RESULT, FACTS, ROWS = "upstream", "training.json", "rows.json"
PREPARED = "prepared.json"


@dataclass(frozen=True)
class Tree:
    """Upstream's code and the interpreter that runs it."""

    folder: Path
    python: Path


def find_tree() -> Tree:
    """Find the upstream tree and environment that ``make setup`` made.

    Raises:
        StageError: one of them is missing or out of date.
    """
    try:
        folder = llava_next_folder()
    except UpstreamError as error:
        raise StageError(str(error)) from error
    python = ROOT / ".venv-llava" / "bin" / "python"
    if not python.exists():
        raise StageError(f"{python}: no environment for the upstream trainer (remedy: make setup)")
    return Tree(folder, python)


def run_stage(stage: Stage, *, on_step: OnStep | None = None, stop: StopOnSignal | None = None) -> Path:
    """Train a stage with the upstream trainer, or resume one that was stopped; returns the model folder.

    A finished stage returns at once. ``stage.model``, if given, is the ``upstream`` folder of an earlier
    stage.

    Args:
        on_step: called with (step, total steps) after each step.
        stop: listens to signals while the data are indexed; later the trainer is told of them.

    Raises:
        StageStopped: a signal ended indexing or training.
        StageError: upstream is not set up, the output folder holds another run, no row is usable, the batch
            cannot be split, the trainer failed, or the converted model's logits differ from upstream's.
        ModelFolderError: a starting folder is unusable.
    """
    tree = find_tree()
    if is_finished(stage):
        print(f"{stage.out}: this run is finished, nothing is trained", flush=True)
        return stage.out.resolve() / "model"
    with contextlib.nullcontext() if stop is None else stop.listening():
        stopped = None if stop is None else stop.requested
        arguments = prepare_stage(stage, cpu=not torch.cuda.is_available(), stopped=stopped)
    if arguments is not None:
        out = stage.out.resolve()
        if stop is not None and stop.stop_requested:
            raise StageStopped(f"{out}: stopped before training began")
        signals = (signal.SIGINT, *(() if stop is None else STOP_SIGNALS))
        with report_full_disk(out):
            run_trainer(tree.python, tree.folder, arguments, out, on_step, signals)
        if not (out / RESULT).exists():
            step = step_of(newest_complete_checkpoint(out))
            raise StageStopped(f"{out}: stopped after step {step}")
    return publish_stage(stage)


def is_finished(stage: Stage) -> bool:
    """Whether exactly this run has been finished: its manifest exists, and its model as it was published.

    Raises:
        StageError: the output folder holds another run, or a damaged model and nothing to publish it from.
    """
    out = stage.out.resolve()
    if not belongs_to(out, _identity(stage)):
        return False
    result = out / RESULT
    return is_published(out, source=result if result.exists() else newest_complete_checkpoint(out))


def prepare_stage(
    stage: Stage,
    *,
    cpu: bool,
    ranks: int = 1,
    ranks_here: int | None = None,
    launcher: str = "ddp",
    stopped: Callable[[], bool] | None = None,
) -> list[str] | None:
    """Write the trainer's input files; returns its arguments, or None if training is already done.

    The trainer can then be started on the same file system as ``ranks`` processes with ``stage.out`` as the
    working directory, by accelerate with the file ``launcher`` of ``launch/accelerate``. ``ranks_here`` of
    them, by default all, are on one machine. ``stopped`` says whether to stop indexing.

    Raises:
        StageError, ModelFolderError: as `run_stage`.
    """
    run, out = _identity(stage), stage.out.resolve()
    belongs_to(out, run)
    if (out / RESULT).exists():
        return None
    # Before anything is written: the folder of a run that cannot start must not be kept from the next one.
    check_start(stage, upstream=True)
    distribution = planned(launcher, ranks)
    require_resumable(out, distribution, converts=False)
    require_open(stage.image_folder)
    if problem := native_only(stage.recipe):
        raise StageError(problem)
    if problem := lacks_master_weights(stage.recipe, distribution, cpu=cpu):
        raise StageError(problem)
    out.mkdir(parents=True, exist_ok=True)
    with report_full_disk(out):
        started = time.time()
        inputs = _write_start(stage, out)
        rows, rejected, cut = _write_rows(stage, inputs.vision_tower, out, ranks=ranks, stopped=stopped)
        settle_checkpoints(out)
        checkpoint = newest_complete_checkpoint(out)
        try:
            arguments = upstream_arguments(
                stage.recipe, inputs, rows=rows, ranks=ranks, ranks_here=ranks_here, cpu=cpu
            )
        except RecipeError as error:
            raise StageError(str(error)) from error
        write_json(
            out / PREPARED,
            {
                "rows": rows,
                "rejected_rows": rejected,
                "cut_rows": cut,
                "started": started,
                "resumed_from": checkpoint.name if checkpoint else None,
            },
        )
        write_run(out, {**run, **IN_RANDOM_ORDER})
        if checkpoint is not None:
            print(f"{out}: resuming from {checkpoint.name}", flush=True)
    return arguments


def publish_stage(stage: Stage) -> Path:
    """Convert the trainer's result, compare the logits, write the manifest; returns the model folder.

    Raises:
        StageError: the result cannot be converted, or the converted model's logits differ from upstream's.
    """
    run, out = _identity(stage), stage.out.resolve()
    model_folder, result = out / "model", out / RESULT
    with report_full_disk(out):
        if (ruined := non_finite_in_folder(result)) is not None:
            raise StageError(
                f"{ruined} is not finite, nothing is published (remedy: train again with a lower "
                "learning_rate in another --out)"
            )
        if not (result / "manifest.json").exists():
            ended = time.time()
            prepared = _read(out / PREPARED)
            manifest = {
                **run,
                **IN_RANDOM_ORDER,
                **_read(result / FACTS),
                **prepared,
                "seed": stage.recipe.seed,
                "ended": ended,
                "seconds": round(ended - prepared["started"], 1),
            }
            write_json(result / "manifest.json", manifest)
        manifest = _read(result / "manifest.json")
        difference = _publish(result, model_folder)
        weights = fingerprint(model_folder, WEIGHTS)
        write_json(
            out / "manifest.json", {**manifest, "weights": weights, "largest_logit_difference": difference}
        )
    for warning in manifest.get("warnings", []):  # a result of an earlier version has none
        print(f"warning: {out}: {warning}", flush=True)
    return model_folder


def _identity(stage: Stage) -> dict:
    return {
        **identity(stage.recipe, stage.data, stage.start),
        "engine": ENGINE,
        "upstream": {LLAVA_NEXT: read_pins()[LLAVA_NEXT].commit},
    }


def _read(path: Path) -> dict:
    try:
        content = read_json(path)
    except ValueError as error:
        content, reason = None, reason_of(error)
    else:
        reason = "is not a JSON object"
    if not isinstance(content, dict):
        raise StageError(
            f"{path}: {reason} (remedy: put the file back, or choose another --out to start over)"
        )
    return content


def _write_start(stage: Stage, out: Path) -> Inputs:
    tower = stage.vision_tower
    if stage.model is not None:
        tower = find_tower(stage.model, tower)
    assert tower is not None  # see Stage
    tower = link_vision_tower(tower.resolve(), out / "start" / TOWER)
    language_model = stage.model or stage.language_model
    assert language_model is not None  # see Stage
    if newest_complete_checkpoint(out) is None:
        for folder in (language_model, tower):
            if (ruined := non_finite_in_folder(folder)) is not None:
                message = not_finite(ruined)
                raise ModelFolderError(message)
    link_language_model(language_model.resolve(), out / "start" / LANGUAGE_MODEL, tower)
    return Inputs(
        language_model=f"start/{LANGUAGE_MODEL}",
        vision_tower=tower,
        rows=out / ROWS,
        image_folder=stage.image_folder.resolve(),
        out=out,
    )


def _write_rows(
    stage: Stage, tower: Path, out: Path, *, ranks: int, stopped: Callable[[], bool] | None
) -> tuple[int, int, int]:
    """Write the usable rows to ``out/rows.json``, and of each its number and counts from the index.

    Rows are checked here because upstream retries a bad row for seconds, and then silently trains on another.

    Returns:
        The numbers of usable and of rejected rows, and of those that the length limit cuts.
    """
    try:
        tokenizer = read_tokenizer(out / "start" / LANGUAGE_MODEL)
    except ConversionError as error:
        raise StageError(str(error)) from error
    processor = build_processor(tokenizer, read_tower(tower), stage.recipe)
    index = stage_index(stage, processor, stopped=stopped)
    write_rejects(index.lines(stage.data), len(index), stage)
    require_context(stage, index)
    cut = report_cut_rows(index, tokenizer, stage)
    require_steps(stage, len(index), ranks=ranks)
    columns = zip(index.row_numbers.tolist(), index.lengths.tolist(), index.supervised.tolist(), strict=True)
    usable = {row: {"tokens": length, "supervised": supervised} for row, length, supervised in columns}
    write_conversations(
        out / ROWS,
        (
            {**_record(conversation), **usable[conversation.row]}
            for conversation in read_conversations(stage.data, rejects=[])  # rejects are in the index
            if conversation.row in usable
        ),
    )
    return len(index), len(index.rejects), cut


def _record(conversation: Conversation) -> dict:
    names = {role: speaker for speaker, role in ROLES.items()}
    record = {
        "id": conversation.id,
        "row": conversation.row,
        "conversations": [{"from": names[turn.role], "value": turn.text} for turn in conversation.turns],
    }
    if conversation.images:
        images = list(conversation.images)
        record["image"] = images[0] if len(images) == 1 else images
    return record


def _publish(result: Path, model: Path) -> float | None:
    """Convert ``result`` and compare the logits; returns their largest difference."""
    # This is only called while the stage has no manifest: a model that is there was never compared.
    shutil.rmtree(model, ignore_errors=True)
    try:
        convert(result, model, quiet=True)
        verdict = verify(result, model)
    except ConversionError as error:
        raise StageError(f"{result}: cannot be converted: {error}") from error
    if not verdict.passed:
        raise StageError(
            f"{model}: its logits differ from upstream's: {'; '.join(verdict.lines())} (remedy: report it)"
        )
    return max(verdict.differences.values(), default=None)
