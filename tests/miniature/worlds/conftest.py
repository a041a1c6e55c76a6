"""The drawn world in a small size, and a package of made-up stamps; each made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from miniature.worlds.drawn import prepare
from tests.miniature.worlds.stamps_package import write_package


@pytest.fixture(scope="session")
def drawn_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    prepare(folder, lang="it", seed=3, fast=True)
    return folder


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_package(tmp_path_factory.mktemp("package"))
