"""Checkpoints that several tests convert."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.upstream_checkpoint import write_checkpoint, write_tower
from ndino.export.converter import convert


@pytest.fixture(scope="session")
def tower(tmp_path_factory) -> Path:
    return write_tower(tmp_path_factory.mktemp("tower") / "clip")


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory, tower) -> Path:
    """One safetensors file, fp32. Not to be changed."""
    return write_checkpoint(tmp_path_factory.mktemp("upstream") / "checkpoint", tower)


@pytest.fixture(scope="session")
def converted(tmp_path_factory, checkpoint) -> Path:
    """``checkpoint``, converted. Not to be changed."""
    return convert(checkpoint, tmp_path_factory.mktemp("published") / "converted")


@pytest.fixture
def copied(tmp_path, tower) -> Path:
    """A checkpoint of the test's own, to be spoilt."""
    return write_checkpoint(tmp_path / "copied", tower)
