"""Whether a stage has changed its model at all: a result equal to its start is not published."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch

from ndino.train.stage import StageError

VALUES = 4096  # of each tensor, evenly spaced: training changes nearly all


def trained_values(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Some values of each trained weight, fp32 by name, on the CPU; to be called before training."""
    return {name: _some(weight).clone() for name, weight in model.named_parameters() if weight.requires_grad}


def nothing_learned(
    start: Mapping[str, torch.Tensor], weights: Iterable[tuple[str, torch.Tensor]], dtype: torch.dtype
) -> bool:
    """Whether none of these values differs after training, as the model is published.

    Args:
        start: what `trained_values` found before training.
        weights: all weights after training, by the same names.
        dtype: of the published weights; a change that it rounds off is none.
    """
    trained = ((name, weight) for name, weight in weights if name in start)
    return all(torch.equal(_some(weight).to(dtype), start[name].to(dtype)) for name, weight in trained)


def not_learned(out: Path, steps: int, dtype: torch.dtype) -> StageError:
    """The error for a stage in which `nothing_learned`."""
    precision = str(dtype).removeprefix("torch.")
    return StageError(
        f"{out}: no weight differs from the start after {steps} steps in {precision}, "
        "nothing is published (remedy: train in another --out with a higher learning_rate or more steps)"
    )


def _some(weight: torch.Tensor) -> torch.Tensor:
    values = weight.detach().flatten()
    return values[:: max(1, values.numel() // VALUES)].float().cpu()
