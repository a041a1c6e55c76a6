"""Questions about photographs of ten sizes, as a benchmark."""

from __future__ import annotations

from pathlib import Path

import pytest
from datasets import Image, Value

from fixtures.photographs import photograph
from ndino.formats.hub_folders import write_split
from tests.serving.models import SIZES

QUESTIONS = ("Che cosa si vede?", "Di che colore è il quadrato?")


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A benchmark with two questions about photographs of ten sizes each."""
    folder = tmp_path_factory.mktemp("data")
    asked = [(question, size) for question in QUESTIONS for size in SIZES]
    rows = [
        {"id": str(i), "image": photograph(i, size), "question": question, "answer": "rosso"}
        for i, (question, size) in enumerate(asked)
    ]
    text = Value("string")
    features = {"id": text, "image": Image(), "question": text, "answer": text}
    write_split(folder / "swap-uniba" / "MTVQA_IT", "test", rows, features)
    return folder
