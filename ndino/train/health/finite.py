"""Finds weights that are no finite numbers: in memory, in a rank's shard, and in the files of a folder."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

INDEX = "model.safetensors.index.json"


def is_finite(tensor: torch.Tensor) -> bool:
    """Whether all values are finite; integers always are. One pass, without a mask of the tensor's size."""
    if not tensor.numel() or not (tensor.is_floating_point() or tensor.is_complex()):
        return True
    # aminmax keeps NaN, and an infinity is an extreme.
    return all(bool(torch.isfinite(value)) for value in torch.aminmax(tensor.detach()))


def first_non_finite(weights: Iterable[tuple[str, torch.Tensor]]) -> str | None:
    """The name of the first tensor with a value that is NaN or infinite; None if there is none."""
    return next((name for name, tensor in weights if not is_finite(tensor)), None)


def local_weights(model: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """The weights that this rank holds: its shard under FSDP or ZeRO-3, otherwise all of them."""
    for name, parameter in model.named_parameters():
        held: Any = getattr(parameter, "ds_tensor", parameter)  # ZeRO-3 leaves the parameter itself empty
        yield name, held.to_local() if hasattr(held, "to_local") else held


def non_finite_in_folder(folder: Path) -> str | None:
    """``FILE: tensor NAME`` for the first tensor of a folder's safetensors files that is not finite, or None.

    Reads one tensor at a time. Folders with ``.bin`` files only are not looked into.
    """
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            name = first_non_finite((name, file.get_tensor(name)) for name in file.keys())  # noqa: SIM118
        if name is not None:
            return f"{path}: tensor {name}"
    return None


def file_of(folder: Path, tensor: str) -> Path:
    """The file of ``folder`` that holds a tensor, or the folder itself if that is not known."""
    if (single := folder / "model.safetensors").is_file():
        return single
    try:
        places: Mapping[str, str] = json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"]
    except (OSError, ValueError, KeyError):
        return folder
    return folder / places[tensor] if tensor in places else folder


def not_finite(where: str) -> str:
    """What to say of a start with a weight that is NaN or infinite."""
    return (
        f"{where} has values that are not finite: the model was ruined in training, or damaged (remedy: "
        "start from an earlier stage, or copy the model again)"
    )
