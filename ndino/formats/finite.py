"""Finds weights that are not finite numbers: in memory and in the files of a folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from safetensors import safe_open

from ndino.formats.model_kinds import weight_files


def is_finite(tensor: torch.Tensor) -> bool:
    """Whether all values are finite; integers always are. One pass, without a mask of the tensor's size."""
    if not tensor.numel() or not (tensor.is_floating_point() or tensor.is_complex()):
        return True
    # aminmax keeps NaN, and an infinity is an extreme.
    return all(bool(torch.isfinite(value)) for value in torch.aminmax(tensor.detach()))


def first_non_finite(weights: Iterable[tuple[str, torch.Tensor]]) -> str | None:
    """The name of the first tensor with a value that is NaN or infinite; None if there is none."""
    return next((name for name, tensor in weights if not is_finite(tensor)), None)


def non_finite_in_folder(folder: Path) -> str | None:
    """``FILE: tensor NAME`` for the first tensor in a model folder's files that is not finite, or None.

    Reads one tensor at a time, of a .bin file through a memory map.
    """
    for path in weight_files(folder):
        if name := first_non_finite(tensors_of(path)):
            return f"{path}: tensor {name}"
    return None


def non_finite_in_model(model: torch.nn.Module, folder: Path) -> str | None:
    """`non_finite_in_folder` for a model that was loaded from ``folder``.

    The weights in memory are checked, which the device that holds them does quickly. Only after a find are
    the files read, since they name their tensors differently.
    """
    if (name := first_non_finite(model.named_parameters())) is None:
        return None
    return non_finite_in_folder(folder) or f"{folder}: tensor {name}"


def not_finite(where: str) -> str:
    """What to say of a model with a weight that is NaN or infinite, as `non_finite_in_folder` found it."""
    return (
        f"{where} has values that are not finite: the model was ruined in training, or damaged (remedy: take "
        "an earlier one, or copy it again)"
    )


def tensors_of(path: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors of a file of weights by name, read one at a time."""
    if path.suffix == ".safetensors":
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118 (no mapping)
                yield name, file.get_tensor(name)
    else:
        yield from torch.load(path, map_location="cpu", weights_only=True, mmap=True).items()
