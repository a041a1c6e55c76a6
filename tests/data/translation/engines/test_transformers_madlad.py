"""MADLAD with transformers, in batches of four; test_madlad.py compares it with CTranslate2."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import T5ForConditionalGeneration

from ndino.data.errors import DataError
from ndino.data.translation.engines.transformers_madlad import BATCH, TransformersMadlad

TEXTS = ["a red car", "two dogs", "How many dogs are in the picture?", "blue sky", "the men", "a child"]


def test_translations_are_in_order_one_per_text(madlad_folder: Path) -> None:
    translator = TransformersMadlad(madlad_folder, "it")
    assert len(TEXTS) > BATCH
    found = translator.translate(TEXTS)
    assert len(found) == len(TEXTS)
    assert found[BATCH:] == translator.translate(TEXTS[BATCH:])
    assert translator.translate([]) == []


def test_a_folder_without_a_model_or_with_a_converted_one_is_refused(
    tmp_path: Path, converted_folder: Path
) -> None:
    for folder in (tmp_path, converted_folder):
        with pytest.raises(DataError, match=r"not a model of transformers \(remedy"):
            TransformersMadlad(folder, "it")


def test_a_model_that_transformers_loads_wrongly_is_refused(
    madlad_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As some versions of transformers 5 do by themselves: the encoder reads other embeddings.
    folder = shutil.copytree(madlad_folder, tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    model = T5ForConditionalGeneration.from_pretrained(folder)
    model.encoder.embed_tokens = torch.nn.Embedding(*weights["lm_head.weight"].shape)
    translator = TransformersMadlad(folder, "it")
    monkeypatch.setattr(T5ForConditionalGeneration, "from_pretrained", lambda *_, **__: model)
    with pytest.raises(DataError, match=r"loads it wrongly .*remedy"):
        translator.translate(["a dog"])


def test_weights_are_part_of_the_identity(madlad_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(madlad_folder, tmp_path / "model")
    same = TransformersMadlad(folder, "it").identity
    assert same == TransformersMadlad(madlad_folder, "it").identity
    weights = load_file(folder / "model.safetensors")
    weights["lm_head.weight"][0, 0] += 1
    save_file(weights, folder / "model.safetensors")
    assert TransformersMadlad(folder, "it").identity != same
    assert json.loads((folder / "config.json").read_text())["tie_word_embeddings"] is False
