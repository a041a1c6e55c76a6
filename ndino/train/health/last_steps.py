"""Judges the last updates of a stage, after which no step shows what they did; for both engines."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.distributed as dist
from transformers import TrainerCallback

from ndino.train.health.divergence import DivergenceGuard

# The loss of micro-batch number N of this rank, a scalar, without a gradient; all ranks call it together.
Look = Callable[[int], torch.Tensor]


class LastSteps(TrainerCallback):
    """Lets the guard judge the weights at the end of training by some micro-batches that are not trained on.

    It has to come before callbacks that take the last checkpoint for a good one.

    Attributes:
        warnings: for the manifest; what is wrong with a model that is published all the same.
    """

    def __init__(self, guard: DivergenceGuard, look: Look) -> None:
        self.guard = guard
        self.look = look
        self.warnings: list[str] = []

    def on_train_end(self, args: Any, state: Any, control: Any, model: Any = None, **options: Any) -> None:
        if state.global_step >= state.max_steps:  # else a signal stopped it, and a resume will show
            vocabulary = model.config.get_text_config().vocab_size
            warning = self.guard.judge_end(args, state, self._loss, vocabulary)
            self.warnings = [] if warning is None else [warning]

    def _loss(self, number: int) -> float:
        loss = self.look(number).detach().float()
        if dist.is_initialized():
            dist.all_reduce(loss)
            loss /= dist.get_world_size()
        return loss.item()


def rows_of_look(number: int, rows: int, args: Any) -> list[int]:
    """Positions of the samples in micro-batch ``number`` of this rank, of a data set of ``rows``."""
    first = (number * args.world_size + args.process_index) * args.per_device_train_batch_size
    return [place % rows for place in range(first, first + args.per_device_train_batch_size)]


@contextlib.contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Put a model in evaluation mode for a ``with`` block, and back as it was."""
    trained = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(trained)
