"""Write one GGUF file: its fields, then its tensors, each read, converted and written before the next."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFWriter
from gguf.quants import quant_shape_to_byte_shape, quantize
from tqdm import tqdm

from ndino.common.errors import no_room
from ndino.serving.errors import ExportError

F32, F16, Q8_0 = GGMLQuantizationType.F32, GGMLQuantizationType.F16, GGMLQuantizationType.Q8_0


@dataclass(frozen=True)
class Entry:
    """One tensor of a file.

    Attributes:
        name: its name in GGUF.
        source: its name in the model folder, for messages.
        shape: as PyTorch orders it; GGUF stores the reverse.
        read: the tensor of that shape, of any floating-point type.
    """

    name: str
    source: str
    shape: tuple[int, ...]
    type: GGMLQuantizationType
    read: Callable[[], torch.Tensor]

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """The shape in bytes where the type is quantised, as the writer wants it."""
        return self.shape if self.type in (F32, F16) else quant_shape_to_byte_shape(self.shape, self.type)

    @property
    def stored_dtype(self) -> np.dtype:
        return np.dtype({F32: np.float32, F16: np.float16}.get(self.type, np.uint8))

    @property
    def stored_bytes(self) -> int:
        return int(np.prod(self.stored_shape)) * self.stored_dtype.itemsize

    def data(self) -> np.ndarray:
        """The tensor as it is stored.

        Raises:
            ExportError: a value is not a number, or beyond what 16 bits hold.
        """
        tensor = self.read()
        made = tensor.to(torch.float16 if self.type == F16 else torch.float32)
        if not bool(made.isfinite().all()):
            beyond = " beyond 65504" if bool(tensor.isfinite().all()) else " that is no number"
            raise ExportError(
                f"{self.source}: has a value{beyond} (remedy: check its training, or export an "
                "earlier checkpoint)"
            )
        return quantize(made.contiguous().numpy(), self.type)


def matrix_type(shape: Sequence[int], wanted: GGMLQuantizationType) -> GGMLQuantizationType:
    """The type of a matrix: F16 where its rows are not a multiple of the blocks of the type ``wanted``."""
    return wanted if shape[-1] % GGML_QUANT_SIZES[wanted][0] == 0 else F16


def write_container(path: Path, writer: GGUFWriter, entries: Sequence[Entry], *, label: str) -> None:
    """Write a file of the fields that ``writer`` holds and of ``entries``, with a progress bar.

    Raises:
        ExportError: a value cannot be stored.
        OSError: it cannot be written.
    """
    for entry in entries:
        writer.add_tensor_info(
            entry.name, entry.stored_shape, entry.stored_dtype, entry.stored_bytes, raw_dtype=entry.type
        )
    try:
        writer.write_header_to_file(path)
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        total = sum(entry.stored_bytes for entry in entries)
        with tqdm(total=total, desc=label, unit="B", unit_scale=True, disable=None) as bar:
            for entry in entries:
                writer.write_tensor_data(entry.data())
                bar.update(entry.stored_bytes)
        writer.flush()
    except OSError as error:
        if no_room(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path.parent)) from None
        raise
    finally:
        writer.close()
