from __future__ import annotations

import os
from pathlib import Path

import pytest

from ndino.evaluation.commands import evaluate
from tests.commands import evaluate as evaluate_command


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    # The command sets these for its own process, which here is also that of all other tests.
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_DISABLE_PROGRESS_BARS"):
        monkeypatch.setenv(name, os.environ.get(name, "1"))


@pytest.fixture
def run(benchmark_folder: Path, tiny_model_folder: Path, tmp_path: Path):
    """Call the command; what is not given is the tiny model, local data and a fresh folder for results."""

    def call(
        *arguments: object, model: object = f"it={tiny_model_folder}", data: Path | None = benchmark_folder
    ) -> int:
        common = ["--model", model, "--out", tmp_path / "eval", "--batch", 32]
        common += [] if data is None else ["--data", data]
        return evaluate_command([str(argument) for argument in [*common, *arguments]])

    return call


@pytest.fixture
def loads(monkeypatch) -> list[str]:
    """The names of the models that were loaded."""
    names = []
    load = evaluate.load_model
    monkeypatch.setattr(
        evaluate, "load_model", lambda model, *rest: names.append(model.name) or load(model, *rest)
    )
    return names
