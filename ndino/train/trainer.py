"""transformers' Trainer with this project's loss, learning rates and checkpoints."""

from __future__ import annotations

import torch
from transformers import LlavaNextForConditionalGeneration, Trainer
from transformers.trainer_pt_utils import get_parameter_names

from ndino.formats.recipes import Recipe
from ndino.train.callbacks import MarkWhole, WriteProgress


def set_trainable(model: LlavaNextForConditionalGeneration, trainable: str) -> None:
    """``projector`` trains projector and image_newline and freezes the rest, ``all`` trains everything.

    What the tower computes behind the layer whose features are used has no gradient in either case. Frozen it
    stays as it is, as it would otherwise; but DDP waits for gradients that were announced and never come, and
    FSDP does not resume an optimiser that has no state for them.
    """
    unused = _unused(model)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(
            (trainable == "all" and not name.startswith(unused))
            or "multi_modal_projector" in name
            or name.endswith("image_newline")
        )


def _unused(model: LlavaNextForConditionalGeneration) -> tuple[str, ...]:
    tower = "model.vision_tower."
    layers = model.config.vision_config.num_hidden_layers
    # hidden_states begin with the embeddings, before any layer.
    used = model.config.vision_feature_layer % (layers + 1)
    return (
        f"{tower}post_layernorm.",
        *(f"{tower}encoder.layers.{layer}." for layer in range(used, layers)),
    )


class NativeTrainer(Trainer):
    """Loss on supervised rows; the tower has its own learning rate."""

    def __init__(self, *, recipe: Recipe, **options) -> None:
        self.recipe = recipe
        super().__init__(**options, callbacks=[MarkWhole(recipe.save_total_limit), WriteProgress()])
        # The loss is divided by the supervised tokens of the whole effective batch, not of one micro-batch.
        self.model_accepts_loss_kwargs = True

    def gathered_weights(self) -> dict[str, torch.Tensor]:
        """All weights, under the model's own names, on the first rank; for every rank to call."""
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:
            return self.accelerator.get_state_dict(self.model_wrapped)
        return self.accelerator.unwrap_model(self.model).state_dict()

    def _load_from_checkpoint(
        self, resume_from_checkpoint: str, model: torch.nn.Module | None = None
    ) -> None:
        if self.is_fsdp_enabled:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            return
        # Trainer reads the file's tensors by name, but save_pretrained writes other names than the model has,
        # so that transformers 5.23 resumes from the starting weights with no more than a warning.
        model = self.model if model is None else model
        saved = type(model).from_pretrained(resume_from_checkpoint, dtype=model.dtype)
        model.load_state_dict(saved.state_dict())

    def create_optimizer(self, model: torch.nn.Module | None = None) -> torch.optim.Optimizer:
        model = self.model if model is None else model
        if self.optimizer is None:
            kind, options = self.get_optimizer_cls_and_kwargs(self.args, model)
            self.optimizer = kind(self._parameter_groups(model), **options)
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

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        loss = model(**inputs, supervised_tokens=num_items_in_batch)
        if num_items_in_batch is not None and self.args.average_tokens_across_devices:
            # Ranks' gradients are averaged, while the token count is already the sum over ranks.
            loss = loss * self.accelerator.num_processes
        return (loss, {}) if return_outputs else loss
