"""Tensors of a safetensors file under other names; the values are copied as bytes, a piece at a time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from ndino.common.parsing import parse_json
from ndino.serving.errors import ExportError

_LENGTH_BYTES = 8  # little-endian, of the header that follows
_METADATA = "__metadata__"
_ALIGNMENT = 8


def tensors_in(path: Path) -> dict[str, dict[str, Any]]:
    """What a file's header says of its tensors, by name: ``dtype``, ``shape`` and ``data_offsets``."""
    with path.open("rb") as file:
        header = _header(file)
    return {name: entry for name, entry in header.items() if name != _METADATA}


def write_renamed(source: Path, target: Path, rename: Callable[[str], str]) -> None:
    """Write ``source`` as ``target``, with its tensors under the names that ``rename`` gives.

    Raises:
        ExportError: two tensors get one name.
    """
    with source.open("rb") as file:
        header = _header(file)
        made = {name if name == _METADATA else rename(name): entry for name, entry in header.items()}
        if len(made) != len(header):
            raise ExportError(
                f"{source}: holds a weight of the tower under two names (remedy: save the model again)"
            )
        content = json.dumps(made).encode()
        content += b" " * (-len(content) % _ALIGNMENT)
        with target.open("wb") as out:
            out.write(len(content).to_bytes(_LENGTH_BYTES, "little") + content)
            shutil.copyfileobj(file, out, 16 * 2**20)


def _header(file: BinaryIO) -> dict[str, Any]:
    # Where the file is damaged, `require_kind` has said so.
    return parse_json(file.read(int.from_bytes(file.read(_LENGTH_BYTES), "little")))
