"""Weights that are not finite are found, named with their file, and refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from fixtures.upstream_checkpoint import llama as small_llama
from fixtures.upstream_checkpoint import save_weights, upstream_weights, write_checkpoint, write_tower
from ndino.formats.finite import first_non_finite, is_finite, non_finite_in_folder
from tests.commands import evaluate, refused

BAD = [float("nan"), float("inf"), -float("inf")]
DTYPES = [torch.float32, torch.float16, torch.bfloat16, torch.float64]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_one_bad_value_in_any_place_is_found(dtype):
    good = torch.full((3, 5), torch.finfo(dtype).max, dtype=dtype)
    assert is_finite(good) and is_finite(-good) and is_finite(torch.empty(0, dtype=dtype))
    for value in BAD:
        for place in range(good.numel()):
            bad = good.clone()
            bad.view(-1)[place] = value
            assert not is_finite(bad)
            assert first_non_finite([("a", good), ("b", bad), ("c", bad)]) == "b"
    assert is_finite(torch.tensor([1, 2])) and is_finite(torch.tensor(True))


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_the_file_that_holds_it_is_named(tmp_path, suffix, shards):
    weights = upstream_weights(small_llama())
    save_weights(tmp_path, weights, suffix=suffix, shards=shards)
    assert non_finite_in_folder(tmp_path) is None
    spoilt = "model.layers.1.mlp.up_proj.weight"
    weights[spoilt][2, 3] = float("inf")
    save_weights(tmp_path, weights, suffix=suffix, shards=shards)
    found = non_finite_in_folder(tmp_path)
    file, _, name = found.partition(": ")
    assert name == f"tensor {spoilt}" and Path(file).suffix == f".{suffix}"
    held = load_file(file) if suffix == "safetensors" else torch.load(file)
    assert spoilt in held


def spoil(folder: Path, name: str) -> Path:
    path = folder / "model.safetensors"
    weights = load_file(path)
    weights[name].view(-1)[1] = float("nan")
    save_file(weights, path, metadata={"format": "pt"})
    return path


@pytest.fixture
def spoilt(tiny_model_folder, tmp_path) -> Path:
    shutil.copytree(tiny_model_folder, tmp_path / "spoilt")
    return spoil(tmp_path / "spoilt", NORM)


NORM = "language_model.model.norm.weight"


def test_the_commands_refuse_them(spoilt, benchmark_folder, answers_file, tmp_path, capsys):
    said = f"{spoilt}: tensor {NORM} has values that are not finite"
    model, asked = ["--model", spoilt.parent], ["--data", benchmark_folder, "--tasks", "pope-it"]
    assert evaluate([str(part) for part in (*model, *asked, "--out", tmp_path / "e")]) == 1
    line = capsys.readouterr().err.splitlines()[-1]  # behind the progress bar
    assert line.startswith("ndino evaluate: spoilt: cannot be loaded: ") and said in line
    asked = ["--data", answers_file, "--images", tmp_path / "images", "--out", tmp_path / "p.jsonl"]
    line = refused(capsys, "perplexity", *model, *asked)
    assert said in line
    assert not (tmp_path / "p.jsonl").exists()


def test_the_converter_refuses_them_and_leaves_nothing(tmp_path, capsys):
    src = write_checkpoint(tmp_path / "src", write_tower(tmp_path / "tower"))
    path = spoil(src, "model.mm_projector.0.bias")
    line = refused(capsys, "convert", src, tmp_path / "dst")
    assert f"{path}: tensor model.mm_projector.0.bias has values that are not finite" in line
    assert {path.name for path in tmp_path.iterdir()} <= {"src", "tower", "dst.partial"}
