"""What the tests of translation share."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.madlad import convert, write_madlad
from tests.data.translation.translators.chat import write_hub


@pytest.fixture(scope="session")
def madlad_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model of MADLAD's shape, as published."""
    return write_madlad(tmp_path_factory.mktemp("madlad") / "published")


@pytest.fixture(scope="session")
def converted_folder(madlad_folder: Path) -> Path:
    """The same, for CTranslate2, in float32."""
    return convert(madlad_folder, madlad_folder.parent / "converted")


@pytest.fixture(scope="session")
def chat_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny language model with a chat template, in a cache of the hub two folders above."""
    return write_hub(tmp_path_factory.mktemp("hub"))
