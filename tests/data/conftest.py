"""A finished data folder, for the tests of the data commands."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.data.framework import toy


@pytest.fixture(scope="session")
def _finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("finished") / "toy"
    assert toy.run("--out", out) == 0
    return out


@pytest.fixture
def finished(_finished: Path, tmp_path: Path) -> Path:
    """A copy of the merged toy source: 30 rows of toy/images, 30 of toy/text."""
    return Path(shutil.copytree(_finished, tmp_path / "toy"))
