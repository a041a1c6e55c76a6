"""Reads an upstream checkpoint one tensor at a time: safetensors or .bin, a single file or shards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from ndino.common.errors import reason_of, remedy_for
from ndino.common.parsing import parse_json
from ndino.export.errors import ConversionError
from ndino.formats.model_kinds import ADAPTER, PUBLISHED, UPSTREAM, ModelFolderError, require_kind

# transformers' file names, in the order in which it looks for them.
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_REMEDIES = {
    PUBLISHED: "use it as it is: it needs no conversion",
    ADAPTER: "merge it into its base model and save the whole model",
    "": "name a checkpoint of the original code with a LLaMA, a run's folder upstream or one from elsewhere; "
    "fetch one from the hub with: hf download NAME --local-dir FOLDER",
}
_DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


@dataclass(frozen=True)
class Tensor:
    """Where a weight is stored, its shape and dtype; not its values."""

    shard: Path
    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def nbytes(self) -> int:
        return torch.Size(self.shape).numel() * self.dtype.itemsize


@dataclass(frozen=True)
class Checkpoint:
    """An opened checkpoint: ``config`` is config.json unchanged, ``tensors`` are by upstream's names."""

    folder: Path
    config: dict[str, Any]
    tensors: dict[str, Tensor]

    @property
    def shards(self) -> list[Path]:
        return list(dict.fromkeys(tensor.shard for tensor in self.tensors.values()))

    def read(self, shard: Path) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield the shard's weights by name, one after the other.

        If the caller keeps none of them, a single tensor is in memory at a time; of a .bin file, up to the
        whole shard.
        """
        names = [name for name, tensor in self.tensors.items() if tensor.shard == shard]
        if shard.suffix == ".safetensors":
            for name in names:
                # Opened again for each tensor: pages of a mapped file count as our memory until it is closed.
                with safe_open(shard, "pt") as file:
                    tensor = file.get_tensor(name)
                yield name, tensor
                del tensor
        else:
            weights = _load_bin(shard)
            for name in names:
                yield name, weights.pop(name)


def open_checkpoint(folder: Path) -> Checkpoint:
    """Read config.json and the weights' names, shapes and dtypes.

    Raises:
        ConversionError: a file is missing or damaged, or a weight is not float32, float16 or bfloat16.
    """
    try:
        config = require_kind(folder, UPSTREAM, _REMEDIES, weights=False)
    except ModelFolderError as error:
        raise ConversionError(str(error)) from error
    tensors: dict[str, Tensor] = {}
    for shard in _shards(folder):
        for name, tensor in _tensors_of(shard).items():
            if name in tensors:
                raise ConversionError(
                    f"{shard}: {name} is also in {tensors[name].shard.name} (remedy: fetch it again)"
                )
            if tensor.dtype not in _DTYPES.values():
                raise ConversionError(
                    f"{shard}: {name} is of type {tensor.dtype} (remedy: convert the checkpoint from before "
                    "quantisation: float32, float16 or bfloat16)"
                )
            tensors[name] = tensor
    return Checkpoint(folder, config, tensors)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that contains an object.

    Raises:
        ConversionError: it is missing, or contains something else.
    """
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConversionError(f"{path}: no such file (remedy: copy the whole folder)") from None
    except (OSError, ValueError) as error:
        remedy = remedy_for(error, "fetch or save it again")
        raise ConversionError(
            f"{path}: cannot be read as JSON: {reason_of(error)} (remedy: {remedy})"
        ) from error
    if not isinstance(content, dict):
        raise ConversionError(f"{path}: is not a JSON object (remedy: fetch or save it again)")
    return content


def _shards(folder: Path) -> list[Path]:
    for name in _WEIGHTS:
        index = folder / f"{name}.index.json"
        if index.exists():
            files = read_json(index).get("weight_map")
            if not isinstance(files, dict):
                raise ConversionError(f"{index}: has no weight_map (remedy: fetch or save it again)")
            shards = [folder / name for name in dict.fromkeys(files.values())]
            for shard in shards:
                if shard.parent != folder or not shard.is_file():
                    raise ConversionError(
                        f"{shard}: is missing, but {index.name} lists it (remedy: fetch it again)"
                    )
            return shards
        if (folder / name).is_file():
            return [folder / name]
    if list(folder.glob("*mm_projector*")):
        raise ConversionError(
            f"{folder}: contains only a projector, as saved by the first stage "
            "(remedy: convert a later stage's model)"
        )
    wanted = " or ".join(f"{name}[.index.json]" for name in _WEIGHTS)
    raise ConversionError(f"{folder}: has no weights (remedy: fetch or save it whole, with {wanted})")


def _tensors_of(shard: Path) -> dict[str, Tensor]:
    if shard.suffix != ".safetensors":
        return {
            name: Tensor(shard, tuple(tensor.shape), tensor.dtype)
            for name, tensor in _load_bin(shard).items()
        }
    try:
        with safe_open(shard, "pt") as file:
            views = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
            return {
                name: Tensor(
                    shard, tuple(view.get_shape()), _DTYPES.get(view.get_dtype()) or view.get_dtype()
                )
                for name, view in views.items()
            }
    except (SafetensorError, OSError) as error:
        raise ConversionError(
            f"{shard}: is truncated or damaged: {reason_of(error)} (remedy: fetch it again)"
        ) from error


def _load_bin(shard: Path) -> dict[str, torch.Tensor]:
    try:
        weights = torch.load(shard, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # a damaged archive raises many types
        raise ConversionError(
            f"{shard}: is truncated or damaged, or contains more than weights: "
            f"{reason_of(error)[:200]} (remedy: fetch it again, or save it as safetensors)"
        ) from error
    if not isinstance(weights, dict) or not all(
        isinstance(value, torch.Tensor) for value in weights.values()
    ):
        raise ConversionError(
            f"{shard}: is not a dictionary of weights (remedy: save the model's state_dict)"
        )
    return weights
