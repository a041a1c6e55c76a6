from __future__ import annotations

from pathlib import Path

import pytest

from ndino.results.logs import read_run
from ndino.results.summary import build_summary
from tests.results.synthetic import write_family_run, write_small_run


@pytest.fixture
def small_run(tmp_path: Path) -> Path:
    return write_small_run(tmp_path / "runs" / "small")


@pytest.fixture
def summary(small_run: Path) -> dict:
    return build_summary(read_run(small_run))


@pytest.fixture(scope="session")
def family_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_family_run(tmp_path_factory.mktemp("runs") / "family")


@pytest.fixture
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables that are printed are not cut."""
    monkeypatch.setenv("COLUMNS", "120")
