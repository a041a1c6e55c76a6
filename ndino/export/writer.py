"""Writes safetensors files one tensor at a time; the library's writer needs all of a file in memory."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch

CHUNK_BYTES = 64 * 1024**2
_NAMES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}
Layout = dict[str, tuple[tuple[int, ...], torch.dtype]]


def write_safetensors(path: Path, layout: Layout, tensors: Iterable[Iterable[torch.Tensor]]) -> Iterator[int]:
    """Write a file with the tensors of ``layout`` (shape and dtype by name); yields numbers of bytes written.

    Args:
        tensors: each tensor in the order of ``layout``, as pieces along its first dimension.

    Raises:
        ValueError: a tensor's dtype or size is not that of the layout.
    """
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    sizes = []
    for name, (shape, dtype) in layout.items():
        sizes.append(torch.Size(shape).numel() * dtype.itemsize)
        header[name] = {
            "dtype": _NAMES[dtype],
            "shape": list(shape),
            "data_offsets": [offset, offset + sizes[-1]],
        }
        offset += sizes[-1]
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, size, pieces in zip(layout, sizes, tensors, strict=True):
            written = 0
            for piece in pieces:
                if piece.dtype != layout[name][1]:
                    raise ValueError(f"{path}: {name} has dtype {piece.dtype}, not {layout[name][1]}")
                data = piece.contiguous().flatten().view(torch.uint8).numpy().data
                for start in range(0, len(data), CHUNK_BYTES):
                    yield file.write(data[start : start + CHUNK_BYTES])
                written += len(data)
            if written != size:
                raise ValueError(f"{path}: {name} has {written} bytes, not {size}")
