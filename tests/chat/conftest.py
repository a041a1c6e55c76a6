"""A served page with two random models and one that is broken, and a browser on it."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures.tiny import write_tiny_model
from ndino.chat.examples import find_examples
from ndino.chat.server import ChatServer
from ndino.chat.session import ChatSession, ModelColumn
from ndino.evaluation.models import find_folder
from tests.evaluation.benchmarks import write_benchmarks

MOST_TOKENS = 16


@pytest.fixture(scope="package")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders: ``first`` and ``second`` are random LLaVA-NeXTs, ``broken`` has weights of another model."""
    folder = tmp_path_factory.mktemp("chat")
    for seed, name in enumerate(("first", "second")):
        write_tiny_model(folder / name, seed=seed)
    broken = Path(shutil.copytree(folder / "first", folder / "broken"))
    config = broken / "config.json"
    config.write_text(config.read_text().replace('"num_hidden_layers": 2', '"num_hidden_layers": 3'))
    return folder


@pytest.fixture(scope="package")
def benchmarks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_benchmarks(tmp_path_factory.mktemp("benchmarks"), rows=4)


@pytest.fixture(scope="package")
def session(models: Path, benchmarks: Path) -> Iterator[ChatSession]:
    names = ("first", "second", "broken")
    columns = [ModelColumn(name, str(models / name), find_folder(str(models / name))) for name in names]
    session = ChatSession(columns, find_examples(benchmarks, required=True), "it")
    session.load().join()
    with pytest.MonkeyPatch.context() as patch:
        # Random models hardly ever end an answer.
        patch.setattr("ndino.chat.session.SHORT_TOKENS", MOST_TOKENS)
        patch.setattr("ndino.chat.session.LONG_TOKENS", MOST_TOKENS)
        yield session


@pytest.fixture(scope="package")
def server(session: ChatSession) -> Iterator[ChatServer]:
    with ChatServer(session, 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()
