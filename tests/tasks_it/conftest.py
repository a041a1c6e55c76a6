from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ndino.evaluation.benchmarks import Benchmarks


@pytest.fixture(scope="package")
def benchmarks(benchmark_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Benchmarks]:
    """All tasks on local data, loaded with right and with shuffled images."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(benchmark_folder)
        cache = tmp_path_factory.mktemp("cache")
        loaded = Benchmarks(["ndino-it", "pope_full-it"], data=benchmark_folder, cache=cache)
        loaded.load()
        loaded.load("shuffled")
        yield loaded
