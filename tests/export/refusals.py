"""Spoiling a checkpoint, and the error that converting it raises."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from ndino.export.converter import convert
from ndino.export.errors import ConversionError


def change_config(folder: Path, **fields) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text()) | fields
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not ...}))


def change_weights(folder: Path, **weights) -> None:
    path = folder / "model.safetensors"
    changed = load_file(path) | weights
    save_file({name: value for name, value in changed.items() if value is not None}, path)


def refusal(src: Path, **options) -> str:
    dst = src.parent / "dst"
    with pytest.raises(ConversionError) as caught:
        convert(src, dst, **options)
    assert not dst.exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)
