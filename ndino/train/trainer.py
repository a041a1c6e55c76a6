"""The native engine's trainer: transformers' Trainer with our loss, learning rates and checkpoints."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sized
from pathlib import Path
from typing import Any, cast

import torch
from accelerate.data_loader import prepare_data_loader
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader, Dataset, RandomSampler, Sampler
from transformers import (
    LlavaNextForConditionalGeneration,
    PreTrainedModel,
    ProgressCallback,
    Trainer,
    trainer_utils,
)
from transformers.trainer_pt_utils import get_parameter_names

from ndino.common.transformers_types import vision_sizes
from ndino.formats.backbones.tower import unused_weights
from ndino.formats.recipes import Recipe
from ndino.train.adapters.lora import is_factor, load_trained, save_trained
from ndino.train.batches import Collator
from ndino.train.callbacks import FollowArguments, MarkComplete, WriteProgress
from ndino.train.checkpoints import TRAINED
from ndino.train.dataset import ConversationDataset
from ndino.train.health.divergence import DivergenceGuard
from ndino.train.health.last_steps import LastSteps, evaluating, rows_of_look
from ndino.train.packing.averages import divisors
from ndino.train.packing.plan import PackedBatches
from ndino.train.rows.order import epoch_rows
from ndino.train.watching.throughput import Throughput

# How the names of a part's weights begin. "all" and a list of all parts are the same.
_PART_OF = {
    "model.multi_modal_projector.": "projector",
    "model.image_newline": "projector",
    "model.vision_tower.": "vision_tower",
    "": "language_model",
}


def set_trainable(model: LlavaNextForConditionalGeneration, parts: Collection[str]) -> None:
    """Freeze all weights but those of ``parts``; with an adapter the language model is its adapter alone.

    The tower's layers above the one whose features are used (``vision_feature_layer``) never get a gradient.
    They stay frozen in any case: DDP would wait for their gradients, and FSDP cannot restore an optimiser
    that has no state for them. Their values are the same either way.
    """
    unused = _unused(model)
    adapted = any(is_factor(name) for name, _ in model.named_parameters())
    for name, parameter in model.named_parameters():
        part = next(part for start, part in _PART_OF.items() if name.startswith(start))
        replaced = adapted and part == "language_model" and not is_factor(name)
        train = part in parts and not replaced and not name.startswith(unused)
        parameter.requires_grad_(train and parameter.is_floating_point())
        if train and parameter.dtype != torch.float32:
            # Steps of 1e-5 would round to nothing in weights kept in bf16.
            parameter.data = parameter.data.float()


def _unused(model: LlavaNextForConditionalGeneration) -> tuple[str, ...]:
    feature_layer = model.config.vision_feature_layer
    assert isinstance(feature_layer, int)  # a recipe gives one layer; transformers would take a list too
    names = unused_weights(vision_sizes(model.config.vision_config).num_hidden_layers, feature_layer)
    return tuple(f"model.vision_tower.{name}" for name in names)


def layer_classes(model: LlavaNextForConditionalGeneration) -> list[str]:
    """Names of the classes of the tower's and the language model's layers; FSDP gathers one at a time."""
    inner: Any = model.model
    layers = (*inner.language_model.layers, *inner.vision_tower.encoder.layers)
    return sorted({type(layer).__name__ for layer in layers})


def _tells_more(record: logging.LogRecord) -> bool:
    """False for the warning that arguments differ from the checkpoint's: these may (`NOT_IN_IDENTITY`)."""
    return "arguments do not match the ones" not in record.getMessage()


class NativeTrainer(Trainer):
    """Trains on the loss of supervised tokens; tower and projector may have their own learning rates."""

    model: LlavaNextForConditionalGeneration  # for Trainer, any module or None

    def __init__(self, *, recipe: Recipe, **options) -> None:
        self.recipe = recipe
        self.universal = False
        self.settings: list[dict[str, float]] = []  # of the optimiser's groups, as this recipe has them
        self.guard = DivergenceGuard(skipping=recipe.on_divergence == "skip")
        self.last_steps = LastSteps(self.guard, self._look)
        callbacks = [FollowArguments(), self.guard, self.last_steps]
        callbacks += [MarkComplete(recipe.save_total_limit, self.guard), WriteProgress()]
        super().__init__(**options, callbacks=callbacks)
        self.throughput = Throughput(self.model)
        self.add_callback(self.throughput)
        # True makes Trainer count the supervised tokens of the whole effective batch and pass them to
        # compute_loss. False makes it divide the micro-batches' own means by their number.
        self.model_accepts_loss_kwargs = recipe.loss_average == "token" or recipe.packing
        self.packed: PackedBatches | None = None  # set with the loader

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Sampler | None:
        # An epoch is a multiple of the effective batch. Trainer would make a last, smaller step of the
        # micro-batches that remain, whose number depends on per_device_batch: then so would the number of
        # steps, and the epoch in which a resumed run continues.
        dataset = cast("Sized", self.train_dataset if train_dataset is None else train_dataset)
        return RandomSampler(dataset, num_samples=epoch_rows(len(dataset), self.recipe.effective_batch))

    def get_train_dataloader(self) -> DataLoader:
        if not self.recipe.packing:
            return super().get_train_dataloader()
        self.packed = PackedBatches(
            cast("ConversationDataset", self.train_dataset).lengths,
            effective_batch=self.recipe.effective_batch,
            accumulation=self.args.gradient_accumulation_steps,
            seed=self.recipe.seed,
            ranks=self.args.world_size,
            rank=self.args.process_index,
        )
        loader = DataLoader(
            cast("Dataset", self.train_dataset),
            batch_sampler=self.packed,
            collate_fn=self.data_collator,
            num_workers=self.args.dataloader_num_workers,
            pin_memory=self.args.dataloader_pin_memory,
        )
        # As accelerator.prepare does, but as for a single process: the batches are this rank's already.
        return prepare_data_loader(
            loader,
            device=self.accelerator.device,
            num_processes=1,
            process_index=0,
            put_on_device=True,
            rng_types=["generator"],
        )

    def log(self, logs: dict[str, float], *arguments, **options) -> None:
        if "loss" in logs:
            logs = {**logs, **self.throughput.read(self.args.device)}
        super().log(logs, *arguments, **options)

    def gathered_weights(self) -> dict[str, torch.Tensor]:
        """All weights under the model's own names, complete on rank 0 only; every rank must call this."""
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:
            return cast("dict[str, torch.Tensor]", self.accelerator.get_state_dict(self.model_wrapped))
        return cast("torch.nn.Module", self.accelerator.unwrap_model(self.model)).state_dict()

    def _load_from_checkpoint(
        self, resume_from_checkpoint: str, model: LlavaNextForConditionalGeneration | None = None
    ) -> None:
        if self.is_fsdp_enabled:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            return
        if self.recipe.adapter is not None and (Path(resume_from_checkpoint) / TRAINED).exists():
            load_trained(self.model if model is None else model, Path(resume_from_checkpoint))
            return
        # Trainer loads tensors by their names in the file. save_pretrained writes other names than the model
        # has, so transformers 5.23 would resume from the starting weights, with a warning only.
        model = self.model if model is None else model
        saved = type(model).from_pretrained(resume_from_checkpoint, dtype=model.dtype)
        model.load_state_dict(saved.state_dict())

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        if self.recipe.adapter is None:
            super()._save(output_dir, state_dict)
        elif self.args.should_save:
            assert output_dir is not None
            # The frozen weights are those that the run started from.
            save_trained(self.model, state_dict, Path(output_dir))

    def read_universal_checkpoint(self) -> None:
        """Resume from a checkpoint that `make_universal` converted; call it before ``train``."""
        self.universal = True
        plugin = self.accelerator.state.deepspeed_plugin
        assert plugin is not None  # such a checkpoint is read under DeepSpeed alone
        plugin.deepspeed_config["checkpoint"] = {"load_universal": True}

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if not self.universal:
            return
        # Loading a universal checkpoint under ZeRO-3, DeepSpeed gives every group the settings of the first:
        # the tower would make a step at the language model's learning rate.
        assert self.optimizer is not None
        rates = cast("LRScheduler", self.lr_scheduler).get_last_lr()
        for group, settings, rate in zip(self.optimizer.param_groups, self.settings, rates, strict=True):
            group.update(settings, initial_lr=settings["lr"], lr=rate)

    def create_optimizer(self, model: PreTrainedModel | None = None) -> torch.optim.Optimizer:
        model = self.model if model is None else model
        if self.optimizer is None:
            kind, options = self.get_optimizer_cls_and_kwargs(self.args, model)
            groups = self._parameter_groups(model)
            self.settings = [{"lr": group["lr"], "weight_decay": group["weight_decay"]} for group in groups]
            self.optimizer = kind(groups, **options)
        return self.optimizer

    def _parameter_groups(self, model: torch.nn.Module) -> list[dict]:
        decayed = set(get_parameter_names(model, [torch.nn.LayerNorm]))
        decayed = {name for name in decayed if "bias" not in name and "norm" not in name}
        groups: dict[tuple[float, bool], list[torch.nn.Parameter]] = {}
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                groups.setdefault((self._learning_rate(name), name in decayed), []).append(parameter)
        return [
            {"params": parameters, "lr": rate, "weight_decay": self.recipe.weight_decay if decay else 0.0}
            for (rate, decay), parameters in groups.items()
        ]

    def _learning_rate(self, parameter: str) -> float:
        if "vision_tower" in parameter:
            return self.recipe.vision_learning_rate or self.recipe.learning_rate
        if "multi_modal_projector" in parameter:
            return self.recipe.projector_learning_rate or self.recipe.learning_rate
        return self.recipe.learning_rate

    def train(self, *arguments, **options):
        compares = logging.getLogger(trainer_utils.__name__)
        compares.addFilter(_tells_more)
        try:
            return super().train(*arguments, **options)
        finally:
            compares.removeFilter(_tells_more)
            # After an error the bar would stay open, and the error's line end up behind it.
            for callback in self.callback_handler.callbacks:
                if isinstance(callback, ProgressCallback) and callback.training_bar is not None:
                    callback.training_bar.close()

    def _run_epoch(self, *arguments, **options) -> None:
        if self.state.global_step >= self.state.max_steps:
            # Resumed from the last checkpoint: a kill came before the model was published. Trainer looks for
            # the end only after a step, and would train one too many.
            self.control.should_training_stop = True
            return
        super()._run_epoch(*arguments, **options)

    def training_step(self, model, inputs, num_items_in_batch=None) -> torch.Tensor:
        rows = inputs.pop("rows")  # not for the model
        images = len(inputs["image_sizes"]) > 0
        self.throughput.saw(inputs)
        if self.state.global_step + 1 in self.guard.skip:
            # Without a backward pass there are no gradients, and the optimiser leaves the weights alone. The
            # data stay in step with the count of steps, so a resume needs to know nothing. The log gets the
            # usual loss in place of the one that was bad.
            share = (self.guard.spikes.median or 0.0) / self.current_gradient_accumulation_steps
            return torch.tensor(share, device=self.args.device)
        loss = super().training_step(model, inputs, num_items_in_batch)
        self.guard.saw(rows, loss, images=images)
        return loss

    def _look(self, number: int) -> torch.Tensor:
        """The mean loss of some rows' supervised tokens, for `LastSteps`."""
        dataset = cast("ConversationDataset", self.train_dataset)
        model = cast("torch.nn.Module", self.model_wrapped)
        samples = [dataset[place] for place in rows_of_look(number, len(dataset), self.args)]
        batch = self._prepare_inputs(dict(cast("Collator", self.data_collator)(samples)))
        del batch["rows"]  # not for the model
        with evaluating(model), torch.no_grad(), self.compute_loss_context_manager():
            return model(**batch)

    def _get_grad_norm(self, model, grad_norm=None):
        self.guard.norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        return self.guard.norm

    def get_batch_samples(self, epoch_iterator, num_batches, device):
        batches, tokens = super().get_batch_samples(epoch_iterator, num_batches, device)
        if self.packed is not None and self.recipe.loss_average == "micro_batch":
            found = divisors(
                batches,
                self.packed,
                self.state.global_step,
                samples=self.recipe.per_device_batch,
                sum_over_ranks=lambda counts: cast("torch.Tensor", self.accelerator.reduce(counts, "sum")),
            )
            for batch, each in zip(batches, found, strict=True):
                batch["divisors"] = each
        return batches, tokens

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        tokens = inputs.pop("divisors", num_items_in_batch)
        loss = model(**inputs, supervised_tokens=tokens)
        if num_items_in_batch is not None and self.args.average_tokens_across_devices:
            # The token count is the sum over all ranks, and DDP averages the ranks' gradients on top of that.
            loss = loss * self.accelerator.num_processes
        return (loss, {}) if return_outputs else loss
