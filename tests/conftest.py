"""Fixtures that several test modules share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tiny import write_tiny_model


@pytest.fixture(scope="session")
def tiny_model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random LLaVA-NeXT of a few hundred kilobytes with LLaMA 3's markers, laid out as our own."""
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny", seed=0)
