"""The native engine: trains one stage with transformers' own LLaVA-NeXT, from recipe to manifest."""

from __future__ import annotations

import gc
import time
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from transformers import (
    LlavaNextForConditionalGeneration,
    LlavaNextProcessor,
    PrinterCallback,
    TrainerCallback,
    TrainingArguments,
)
from transformers.trainer_utils import set_seed

from ndino.common.files import WEIGHTS, fingerprint, require_open, write_json
from ndino.formats.backbones.tower import notes_on_tiles
from ndino.formats.chat.prompt import ChatPrompt
from ndino.formats.finite import first_non_finite
from ndino.formats.recipes import Recipe, RecipeError
from ndino.train.adapters.few_bits import OPTIMIZERS, require_few_bits
from ndino.train.adapters.lora import prepare_adapter, published
from ndino.train.batches import Collator
from ndino.train.build import build_model, load_model, save_model
from ndino.train.callbacks import StopOnSignal, curve
from ndino.train.checkpoints import (
    newest_complete_checkpoint,
    settle_checkpoints,
    step_of,
    written_by,
)
from ndino.train.dataset import ConversationDataset
from ndino.train.health.divergence import Diverged, skip_notice
from ndino.train.health.learned import not_learned, nothing_learned, trained_values
from ndino.train.health.ranks import any_rank
from ndino.train.launching.memory import require_memory
from ndino.train.loss import patch_forward
from ndino.train.manifest import identity, peak_rss_mb, surroundings
from ndino.train.packing.model import use_packing
from ndino.train.packing.plan import micro_batches
from ndino.train.resuming.distribution import current, must_convert
from ndino.train.resuming.published import MANIFEST, is_published
from ndino.train.resuming.run_folder import belongs_to, require_resumable, write_run
from ndino.train.resuming.universal import make_universal
from ndino.train.rows.context import require_context
from ndino.train.rows.cut import report_cut_rows
from ndino.train.rows.damage import RecordDamage
from ndino.train.rows.index import RowIndex
from ndino.train.rows.run_index import stage_index
from ndino.train.rows.steps import require_steps, steps_of_stage
from ndino.train.rows.workers import loader_workers, ranks_on_this_machine
from ndino.train.stage import (
    LOGGED_POINTS,
    PATIENCE_SECONDS,
    OnStep,
    Stage,
    StageError,
    StageStopped,
    is_first_rank,
    nothing_to_learn,
    report_full_disk,
    write_rejects,
)
from ndino.train.trainer import NativeTrainer, layer_classes, set_trainable
from ndino.train.watching.held_out import HeldOut, hold_out
from ndino.train.watching.services import require_service

# Earlier versions of transformers know the first name only, later ones warn of it.
_CHECKPOINTING = (
    "activation_checkpointing"
    if "activation_checkpointing" in TrainingArguments.__dataclass_fields__
    else "gradient_checkpointing"
)


class _ReportSteps(TrainerCallback):
    def __init__(self, on_step: OnStep) -> None:
        self.on_step = on_step

    def on_step_end(self, args, state, control, **kwargs) -> None:
        self.on_step(state.global_step, state.max_steps)


def run_stage(stage: Stage, *, on_step: OnStep | None = None, stop: StopOnSignal | None = None) -> Path:
    """Train a stage, or resume one that was stopped; returns the model folder.

    A finished stage returns at once, unless its model is damaged: that is published again from the newest
    checkpoint. Several ranks of one launcher may call this together, as long as they share the file system of
    ``stage.out``.

    Args:
        on_step: called with (step, total steps) after each step; without it a progress bar is shown.
        stop: ends training after the step in which it received a signal, indexing at the next row.

    Raises:
        StageStopped: ``stop`` received a signal.
        Diverged: training diverged, and the recipe does not say to skip the batch, or too many were skipped.
        StageError: the output folder holds another run, or a damaged model without a checkpoint; no row
            is usable, the batch cannot be split over the ranks, or the disk is full.
        ModelFolderError: a starting folder is unusable.
    """
    model_folder = stage.out / "model"
    seems_finished = (stage.out / MANIFEST).is_file()
    if not seems_finished:
        _require_memory(stage)  # headers alone tell; the next line reads all weights
    run = identity(stage.recipe, stage.data, stage.start)
    if belongs_to(stage.out, run) and is_published(stage.out, source=newest_complete_checkpoint(stage.out)):
        if is_first_rank():
            print(f"{stage.out}: this run is finished, nothing is trained", flush=True)
        return model_folder
    require_few_bits(stage.recipe)
    require_service(stage.recipe)
    require_resumable(stage.out, current())
    require_open(stage.image_folder)
    if seems_finished:
        _require_memory(stage)  # a finished run needs none, one to be published again does
    started = time.time()
    while True:
        try:
            # The index is made beside the data where that can be written.
            with report_full_disk(stage.out, stage.data.parent):
                return _train(stage, run, started, on_step, stop)
        except Diverged as error:
            if not error.event.skipped:
                raise
            if is_first_rank():
                print(skip_notice(stage.out, error.event), flush=True)
        # The error's traceback held the model, the trainer and the optimiser; everything is built anew.
        gc.collect()


def _train(
    stage: Stage, run: dict, started: float, on_step: OnStep | None, stop: StopOnSignal | None
) -> Path:
    """`run_stage` from the newest complete checkpoint to the manifest, or to a divergence."""
    model_folder = stage.out / "model"
    set_seed(stage.recipe.seed)
    model, processor = _starting_model(stage)
    if is_first_rank():
        if stage.recipe.prompt == "chat":
            print(f"prompt: {ChatPrompt.of(processor).example}", flush=True)
        for note in notes_on_tiles(model.config, stage.recipe.grid_pinpoints):
            print(note, flush=True)
        stage.out.mkdir(parents=True, exist_ok=True)
        settle_checkpoints(stage.out)
        newest = newest_complete_checkpoint(stage.out)
        if newest is not None and must_convert(written_by(newest), current()):
            make_universal(newest)
    # Before the data: it joins the ranks, and only the first of them makes the index.
    arguments = training_arguments(stage.recipe, stage.out, quiet=on_step is not None)
    index = stage_index(stage, processor, stopped=stop.requested if stop is not None else None)
    _leave_if_stopped(stop, stage.out, arguments.device)
    write_rejects(index.lines(stage.data), len(index), stage)
    require_context(stage, index)
    cut = report_cut_rows(index, processor.tokenizer, stage)
    require_steps(stage, len(index) - stage.recipe.eval_rows, ranks=arguments.world_size)
    trained, held_out = hold_out(index, stage.recipe.eval_rows, seed=stage.recipe.seed)
    fit_to_rows(arguments, stage.recipe, trained.lengths)
    dataset = _dataset(trained, stage, processor)
    damage = RecordDamage(dataset, stage)
    if problem := nothing_to_learn(stage.recipe, stage.data, images=trained.has_images):
        raise StageError(problem)
    prepare_adapter(model, stage.recipe, device=arguments.device)
    set_trainable(model, stage.recipe.trained_parts)
    begun_with = trained_values(model) if is_first_rank() else {}
    patch_forward(model)
    if stage.recipe.packing:
        use_packing(model)
    collator = Collator(
        image_token_id=model.config.image_token_id,
        pad_token_id=processor.tokenizer.pad_token_id,
        packing=stage.recipe.packing,
    )
    trainer = NativeTrainer(
        recipe=stage.recipe,
        model=model,
        args=arguments,
        train_dataset=dataset,
        data_collator=collator,
        processing_class=processor,
    )
    if trainer.is_fsdp_enabled:
        plugin = trainer.accelerator.state.fsdp_plugin
        assert plugin is not None
        plugin.transformer_cls_names_to_wrap = layer_classes(model)
    trainer.add_callback(damage)
    if held_out is not None:
        evaluated = _dataset(held_out, stage, processor)
        trainer.add_callback(HeldOut(trainer, evaluated, collator, stage.out))
    if on_step is not None:
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(_ReportSteps(on_step))
    if stop is not None:
        trainer.add_callback(stop)
    # The first rank settles the checkpoints above; no rank may look for one to resume from before that.
    trainer.accelerator.wait_for_everyone()
    checkpoint = newest_complete_checkpoint(stage.out)
    if checkpoint is not None and must_convert(written_by(checkpoint), current()):
        trainer.read_universal_checkpoint()
    trainer.guard.load_skips(stage.out, step_of(checkpoint))
    _leave_if_stopped(stop, stage.out, arguments.device)
    if checkpoint is not None and is_first_rank():
        print(f"{stage.out}: resuming from {checkpoint.name}", flush=True)
    if is_first_rank():
        write_run(stage.out, run)
    result = trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if trainer.state.global_step < trainer.state.max_steps:
        raise StageStopped(f"{stage.out}: stopped after step {trainer.state.global_step}")
    weights = trainer.gathered_weights()
    _require_finite(weights, trainer)
    # What rank 0 gathers depends on the launcher: DDP and FSDP2 have the fp32 masters, ZeRO their bf16
    # copies.
    dtype = torch.bfloat16 if trainer.args.bf16 else torch.float32
    _require_learned(begun_with, weights, trainer, dtype)
    if trainer.is_world_process_zero():
        if stage.recipe.adapter is not None:
            weights = published(weights, stage.recipe.adapter, lambda: _starting_model(stage)[0])
        save_model(
            model,
            processor,
            model_folder,
            weights=weights,
            prompt=stage.recipe.prompt,
            dtype=dtype,
        )
        history = trainer.state.log_history
        losses = curve(history, "loss")
        train_loss = result.training_loss
        if losses and checkpoint is not None:
            # The result's is of the steps of this start alone; there is none if only publishing was left.
            train_loss = fmean(loss for _, loss in losses)
        write_json(
            stage.out / MANIFEST,
            {
                **run,
                **surroundings(),
                "rows": len(dataset),
                "rejected_rows": len(index.rejects),
                "cut_rows": cut,
                "damaged_rows": len(damage.reasons),
                "seed": stage.recipe.seed,
                "ranks": trainer.args.world_size,
                "steps": trainer.state.global_step,
                "skipped_steps": list(trainer.guard.skip),
                "tokens": trainer.state.num_input_tokens_seen,
                "train_loss": train_loss,
                "warnings": trainer.last_steps.warnings,
                "loss_curve": losses,
                "eval_rows": stage.recipe.eval_rows,
                "eval_curve": curve(history, "eval_loss"),
                "weights": fingerprint(model_folder, WEIGHTS),
                "started": started,
                "ended": time.time(),
                "seconds": round(time.time() - started, 1),
                "speed": trainer.throughput.summary(trainer.args.device),
                "peak_rss_mb": peak_rss_mb(),
                "resumed_from": checkpoint.name if checkpoint else None,
            },
        )
        for warning in trainer.last_steps.warnings:
            print(f"warning: {stage.out}: {warning}", flush=True)
    trainer.accelerator.wait_for_everyone()
    return model_folder


def _require_memory(stage: Stage) -> None:
    gpu = torch.cuda.get_device_properties(0).total_memory if torch.cuda.is_available() else None
    require_memory(stage, current(), ranks_here=ranks_on_this_machine(), gpu=gpu)


def _leave_if_stopped(stop: StopOnSignal | None, out: Path, device: torch.device) -> None:
    """End before training if any rank was told to stop; all ranks must call this."""
    if stop is not None and any_rank(stop.requested(), device):
        raise StageStopped(f"{out}: stopped before training began")


def _dataset(index: RowIndex, stage: Stage, processor: LlavaNextProcessor) -> ConversationDataset:
    recipe = stage.recipe
    return ConversationDataset(
        index, stage.image_folder, processor, recipe.background, divide_all=recipe.divides_all_images
    )


def training_arguments(recipe: Recipe, out: Path, *, quiet: bool) -> TrainingArguments:
    """The recipe as transformers' arguments; gradient accumulation keeps the effective batch on any ranks.

    `fit_to_rows` adds what depends on the data. Under a launcher this joins the ranks.

    Args:
        quiet: show no progress bar.

    Raises:
        StageError: the effective batch is not a multiple of per-device batch times ranks.
    """
    cpu = not torch.cuda.is_available()
    checkpointing: dict[str, Any] = {_CHECKPOINTING: recipe.gradient_checkpointing}
    arguments = TrainingArguments(
        output_dir=str(out),
        per_device_train_batch_size=recipe.per_device_batch,
        max_steps=recipe.max_steps or -1,
        num_train_epochs=recipe.epochs or 1,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type=recipe.scheduler,
        warmup_steps=recipe.warmup_ratio,  # transformers reads a value below 1 as a share of all steps
        weight_decay=recipe.weight_decay,
        adam_beta1=recipe.adam_betas[0],
        adam_beta2=recipe.adam_betas[1],
        bf16=recipe.precision == "bf16" and not cpu,
        optim=OPTIMIZERS[recipe.optimizer],
        ddp_find_unused_parameters=False,  # each trained weight has a part in every micro-batch's loss
        **checkpointing,
        save_strategy="steps",  # no save_total_limit: MarkComplete removes older checkpoints
        save_steps=recipe.save_steps,
        seed=recipe.seed,
        data_seed=recipe.seed,
        dataloader_pin_memory=not cpu,
        # FSDP2 would keep the whole gradients of accumulated micro-batches, 2 bytes a weight in bf16 on every
        # GPU. Under DDP whole gradients are held anyway, and joining them once a step is cheaper.
        accelerator_config={"gradient_accumulation_kwargs": {"sync_each_batch": True}}
        if current().kind.startswith("fsdp")
        else None,
        remove_unused_columns=False,  # our batches' names are not those of the model's forward
        include_num_input_tokens_seen="non_padding",
        disable_tqdm=quiet,
        logging_strategy="steps",
        # The other ranks wait while the first one indexes the data or writes the model.
        ddp_timeout=PATIENCE_SECONDS,
        logging_nan_inf_filter=False,  # it would log 0 for a loss that is no number
        report_to=recipe.report_to,
        use_cpu=cpu,
    )
    try:
        arguments.gradient_accumulation_steps = recipe.accumulation(arguments.world_size)
    except RecipeError as error:
        raise StageError(str(error)) from error
    if arguments.n_gpu > 1:
        # Without a launcher, Trainer would split each batch over all of them (DataParallel): another
        # effective batch, and ours cannot be split.
        print(f"{arguments.n_gpu} GPUs are visible; one process trains on one of them", flush=True)
        arguments._n_gpu = 1
    return arguments


def fit_to_rows(arguments: TrainingArguments, recipe: Recipe, lengths: np.ndarray) -> None:
    """Set what depends on the usable rows; ``lengths`` are their tokens, int ``(rows,)``.

    They fill at least one step (`require_steps`).
    """
    rows = len(lengths)
    if recipe.packing:
        # The memory that padded micro-batches would need at worst is there, so there may be fewer of them.
        arguments.gradient_accumulation_steps = micro_batches(
            lengths,
            effective_batch=recipe.effective_batch,
            ranks=arguments.world_size,
            tokens=recipe.per_device_batch * recipe.max_length,
        )
    arguments.dataloader_num_workers = loader_workers(
        recipe.loader_workers, rows=rows, ranks_here=ranks_on_this_machine()
    )
    arguments.dataloader_drop_last = True  # an epoch consists of whole steps: `ndino.train.rows.steps`
    arguments.logging_steps = max(1, steps_of_stage(recipe, rows) // LOGGED_POINTS)


def _require_finite(weights: dict[str, torch.Tensor], trainer: NativeTrainer) -> None:
    name = first_non_finite(weights.items()) if trainer.is_world_process_zero() else None
    if any_rank(name is not None, trainer.args.device):
        raise StageError(
            f"{trainer.args.output_dir}: {name or 'a weight'} is not finite after the last step, nothing is "
            "published (remedy: train again with a lower learning_rate in another --out)"
        )


def _require_learned(
    begun_with: dict[str, torch.Tensor],
    weights: dict[str, torch.Tensor],
    trainer: NativeTrainer,
    dtype: torch.dtype,
) -> None:
    same = trainer.is_world_process_zero() and nothing_learned(begun_with, weights.items(), dtype)
    if any_rank(same, trainer.args.device):
        raise not_learned(Path(str(trainer.args.output_dir)), trainer.state.global_step, dtype)


def _starting_model(stage: Stage) -> tuple[LlavaNextForConditionalGeneration, LlavaNextProcessor]:
    # fp32 master weights whatever the recipe's precision: bf16 runs autocast. Steps of 1e-5 would round to
    # nothing in weights kept in bf16.
    dtype = torch.float32
    if stage.recipe.adapter is not None and stage.recipe.precision == "bf16" and torch.cuda.is_available():
        dtype = torch.bfloat16  # the weights beside an adapter are frozen; `set_trainable` widens the others
    if stage.model is not None:
        return load_model(stage.model, stage.recipe, dtype=dtype)
    assert stage.language_model is not None and stage.vision_tower is not None
    return build_model(stage.language_model, stage.vision_tower, stage.recipe, dtype=dtype)
