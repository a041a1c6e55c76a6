"""Which file of a model folder is damaged, for errors of libraries that name no file."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open

from ndino.common.errors import reason_of
from ndino.common.parsing import read_json

TOKENIZER = "tokenizer.json"


def fault_of_weights(path: Path) -> str | None:
    """Why a safetensors file cannot be opened, None if it can; its header tells a truncated file."""
    try:
        with safe_open(path, "np"):
            return None
    except (OSError, SafetensorError) as error:
        return reason_of(error)


def damaged_file(folder: Path) -> Path | None:
    """The first file in a model folder that cannot be read as what its name says; None if all can."""
    return next((path for path in sorted(folder.glob("*")) if path.is_file() and not _sound(path)), None)


def _sound(path: Path) -> bool:
    from tokenizers import Tokenizer

    try:
        if path.suffix == ".json":
            read_json(path)
        if path.name == TOKENIZER:
            Tokenizer.from_file(str(path))
    except Exception:  # of tokenizers they are plain ones
        return False
    return path.suffix != ".safetensors" or fault_of_weights(path) is None
