"""An index of a few rows."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

from ndino.train.rows.building import make_index


@pytest.fixture
def data(rows, tmp_path) -> Path:
    """A copy of the rows, with a folder ``images`` that may be changed."""
    shutil.copytree(rows / "images", tmp_path / "data" / "images")
    return Path(shutil.copy(rows / "rows.jsonl", tmp_path / "data"))


@pytest.fixture
def made(built, recipe, data, tmp_path):
    """``made(field=value)`` makes or finds the index of ``data``."""

    def make(folder: Path = data.parent / "images", **fields) -> Path:
        changed = dataclasses.replace(recipe, **fields)
        return make_index(data, folder, built[1], changed, beside=tmp_path / "run")

    return make
