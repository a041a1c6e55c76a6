"""Upstream's trainer, with complete checkpoints to resume from in every stage, and without need for CUDA."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from llava.train.llava_trainer import LLaVATrainer
from safetensors.torch import load_file, save_file
from transformers import Trainer, TrainerCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, TrainOutput

from ndino.train.callbacks import FollowArguments, MarkComplete, StopOnSignal, WriteProgress
from ndino.train.checkpoints import TRAINED
from ndino.train.health.divergence import DivergenceGuard
from ndino.train.health.last_steps import LastSteps, evaluating, rows_of_look
from ndino.train.health.learned import trained_values
from ndino.train.resuming.run_folder import RUN, claimed
from ndino.train.rows.order import EpochSampler

# In each row of rows.json, from the index: its number in the data file, its tokens, those that the loss uses.
SAID = ("row", "tokens", "supervised")


class ReportSteps(TrainerCallback):
    """Prints a JSON line for each step, which `ndino.llava_next.engine` reads from standard output."""

    def on_step_end(self, args, state, control, **options) -> None:
        if state.is_world_process_zero:
            print(json.dumps({"step": state.global_step, "of": state.max_steps}), flush=True)


class _TrainedError(Exception):
    """The run was resumed from its last checkpoint: there is no step left."""


class ResumeEpoch(TrainerCallback):
    """Sets the sampler's epoch on resume; transformers skips steps of the current epoch, but not epochs.

    Raises:
        _TrainedError: no step is left. transformers looks for the end only after a step, and would train one
            too many.
    """

    def __init__(self, sampler: EpochSampler) -> None:
        self.sampler = sampler

    def on_train_begin(self, args, state, control, **options) -> None:
        self.sampler.epoch = state.global_step // self.sampler.steps

    def on_epoch_begin(self, args, state, control, **options) -> None:
        if state.global_step >= state.max_steps:
            raise _TrainedError


class StageTrainer(LLaVATrainer):
    """Replaces `LLaVATrainer` in ``llava/train/train.py``."""

    def __init__(self, **options) -> None:
        super().__init__(**options)
        batch = self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size
        self.sampler = EpochSampler(len(self.train_dataset), batch, seed=self.args.seed)
        # From the run's recipe: upstream's arguments have no place for it.
        run = json.loads((Path(self.args.output_dir) / RUN).read_text(encoding="utf-8"))
        self.loss_average = run["recipe"]["loss_average"]
        self.claim = contextlib.ExitStack()
        self.weight: float | None = None  # of the micro-batch's loss; None: as it is
        self.begun_with = trained_values(self.model) if self.is_world_process_zero() else {}
        self.add_callback(FollowArguments())
        self.guard = DivergenceGuard(skipping=None)
        self.add_callback(self.guard)
        _note_gradient_norms(self)
        _name_samples(self)
        self.last_steps = LastSteps(self.guard, self._look)
        self.add_callback(self.last_steps)
        self.add_callback(MarkComplete(self.args.save_total_limit, self.guard))
        # MarkComplete removes older checkpoints instead, and only once the new one is complete.
        self.args.save_total_limit = None
        self.add_callback(ReportSteps())
        self.add_callback(WriteProgress())
        stop = StopOnSignal()
        stop.listen()
        self.add_callback(stop)
        if self.is_deepspeed_enabled:
            _let_deepspeed_read_its_checkpoints()
        if self.args.device.type == "cpu":
            # accelerate numbers the devices of several CPU ranks, and torch.load cannot map the optimiser's
            # state to a device called "cpu:0".
            torch.serialization.register_package(
                5, lambda storage: None, lambda storage, place: storage if place.startswith("cpu:") else None
            )

    def train(self, *arguments, **options):
        # To the end of this process, which also writes the result. `ndino train` has claimed the folder, but
        # a job starts the ranks itself.
        self.claim.enter_context(claimed(Path(self.args.output_dir)))
        return super().train(*arguments, **options)

    def _inner_training_loop(self, batch_size=None, *arguments, **options):
        # On a resume, transformers 4.45 takes the checkpoint's batch size, but accumulates by the arguments.
        try:
            return super()._inner_training_loop(self.args.train_batch_size, *arguments, **options)
        except _TrainedError:
            self.is_in_train = False
            self.control = self.callback_handler.on_train_end(self.args, self.state, self.control)
            return TrainOutput(self.state.global_step, 0.0, {})

    def _get_train_sampler(self) -> torch.utils.data.Sampler | None:
        # Upstream's own order cannot be drawn again on a resume, and its grouping by length learns worse
        # (docs/training.md).
        self.add_callback(ResumeEpoch(self.sampler))
        return self.sampler

    def compute_loss(self, model, inputs, return_outputs=False, **options):
        # Upstream's loss is the mean over the micro-batch. Backward divides by the micro-batches of a step,
        # and the ranks average: together that is the recipe's loss_average "micro_batch".
        found = super().compute_loss(model, inputs, return_outputs=return_outputs, **options)
        if self.weight is None:
            return found
        loss, *rest = found if return_outputs else (found,)
        return (loss * self.weight, *rest) if return_outputs else loss * self.weight

    def training_step(self, model, inputs) -> torch.Tensor:
        samples = inputs.pop("samples")
        tokens = torch.tensor(sum(each["tokens"] for each in samples), device=self.args.device)
        self.state.num_input_tokens_seen += int(self.accelerator.gather(tokens).sum())
        self.weight = self._weight(samples)
        loss = super().training_step(model, inputs)
        # Upstream gives a sample without an image an empty one, of the modality "text".
        images = any(modality != "text" for modality in inputs.get("modalities", ()))
        self.guard.saw([each["row"] for each in samples], loss, images=images)
        return loss

    def _look(self, number: int) -> torch.Tensor:
        rows = rows_of_look(number, len(self.train_dataset), self.args)
        inputs = self._prepare_inputs(self.data_collator([self.train_dataset[row] for row in rows]))
        del inputs["samples"]
        with evaluating(self.model_wrapped), torch.no_grad(), self.compute_loss_context_manager():
            return super().compute_loss(self.model_wrapped, inputs)

    def _weight(self, samples: Sequence[Mapping[str, int]]) -> float | None:
        """What makes a micro-batch's mean its share of the mean over all tokens of the step, if asked for."""
        if self.loss_average == "micro_batch":
            return None
        rows = self.train_dataset.list_data_dict
        of_step = sum(rows[row]["supervised"] for row in self.sampler.step_rows(self.state.global_step))
        share = sum(each["supervised"] for each in samples) / of_step
        return share * self.args.gradient_accumulation_steps * self.args.world_size

    def _save_checkpoint(self, model, trial, metrics=None) -> None:
        # Upstream saves neither optimiser nor step count in the projector stage, so it could not resume.
        Trainer._save_checkpoint(self, model, trial, metrics)

    def _save(self, output_dir: str | None = None, state_dict=None) -> None:
        if not (output_dir and Path(output_dir).name.startswith(PREFIX_CHECKPOINT_DIR)):
            return super()._save(output_dir, state_dict)
        frozen = {name for name, weight in self.model.named_parameters() if not weight.requires_grad}
        if not frozen:
            return super()._save(output_dir, state_dict)
        state_dict = self.model.state_dict() if state_dict is None else state_dict
        Path(output_dir).mkdir(parents=True, exist_ok=True)
        trained = {name: value.contiguous() for name, value in state_dict.items() if name not in frozen}
        save_file(trained, Path(output_dir) / TRAINED)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model=None) -> None:
        trained = Path(resume_from_checkpoint) / TRAINED
        if not trained.exists():
            return super()._load_from_checkpoint(resume_from_checkpoint, model)
        model = self.model if model is None else model
        unexpected = model.load_state_dict(load_file(trained), strict=False).unexpected_keys
        if unexpected:
            raise ValueError(
                f"{trained}: {unexpected[0]} and {len(unexpected) - 1} more are not this model's"
            )

    def _load_rng_state(self, checkpoint) -> None:
        with _random_state_readable():
            super()._load_rng_state(checkpoint)


def _note_gradient_norms(trainer: StageTrainer) -> None:
    """Let the guard know of each step's gradient norm, which the Trainer keeps to itself."""
    clip = trainer.accelerator.clip_grad_norm_

    def clip_and_note(*arguments, **options):
        norm = clip(*arguments, **options)
        # DeepSpeed clips on its own, as part of the backward pass.
        deepspeed = trainer.model_wrapped if trainer.is_deepspeed_enabled else None
        trainer.guard.norm = norm if deepspeed is None else deepspeed.get_global_grad_norm()
        return norm

    trainer.accelerator.clip_grad_norm_ = clip_and_note


def _name_samples(trainer: StageTrainer) -> None:
    """Carry what rows.json says of each sample (`SAID`) through dataset and collator, as ``samples``."""
    dataset, read, collate = trainer.train_dataset, trainer.train_dataset._get_item, trainer.data_collator

    def read_named(index: int) -> dict:
        row = dataset.list_data_dict[index]
        return {**read(index), "sample": {name: row[name] for name in SAID}}

    def collate_named(samples: list[dict]) -> dict:
        return {**collate(samples), "samples": [sample["sample"] for sample in samples]}

    dataset._get_item, trainer.data_collator = read_named, collate_named


def _random_state_readable() -> contextlib.AbstractContextManager:
    """Allow ``torch.load`` the types of NumPy's random state, which is in every checkpoint, and no others.

    PyTorch before 2.6 loads any pickle and has no such list.
    """
    if not hasattr(torch.serialization, "safe_globals"):
        return contextlib.nullcontext()
    state = np.random.get_state()[1]
    return torch.serialization.safe_globals(
        [np.core.multiarray._reconstruct, np.ndarray, np.dtype, type(state.dtype)]
    )


def _let_deepspeed_read_its_checkpoints() -> None:
    """Allow ``torch.load`` the types in DeepSpeed's checkpoints, which DeepSpeed loads itself."""
    from deepspeed.runtime.fp16.loss_scaler import LossScaler
    from deepspeed.runtime.zero.config import ZeroStageEnum

    if hasattr(torch.serialization, "add_safe_globals"):
        torch.serialization.add_safe_globals([LossScaler, ZeroStageEnum])
