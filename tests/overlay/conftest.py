from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from lmms_eval.models.simple.llava_next_it import LlavaNextIt

from tests.overlay.asking import DOCUMENTS, answered_by_llava_hf, odd_documents


@pytest.fixture(scope="module")
def one_stop_folder(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    # llava_hf stops at the tokenizer's end token only.
    folder = tmp_path_factory.mktemp("models") / "one-stop"
    shutil.copytree(tiny_model_folder, folder)
    path = folder / "generation_config.json"
    settings = json.loads(path.read_text())
    path.write_text(json.dumps({**settings, "eos_token_id": settings["eos_token_id"][1]}))
    return folder


@pytest.fixture(scope="module")
def model(one_stop_folder: Path) -> LlavaNextIt:
    return LlavaNextIt(str(one_stop_folder), device="cpu", batch_size=8)


@pytest.fixture(scope="module")
def reference(one_stop_folder: Path) -> list[str]:
    return answered_by_llava_hf(one_stop_folder, DOCUMENTS)


@pytest.fixture(scope="module")
def odd_reference(one_stop_folder: Path) -> list[str]:
    return answered_by_llava_hf(one_stop_folder, odd_documents())
