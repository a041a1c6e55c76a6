"""The identity of a run, and what a manifest records of its surroundings."""

from __future__ import annotations

import dataclasses
import json

from ndino.train.manifest import identity, peak_rss_mb, surroundings


def test_recipe_data_and_starting_weights_make_a_run(recipe, rows, tmp_path):
    start = tmp_path / "model"
    start.mkdir()
    (start / "model.safetensors").write_bytes(b"weights")
    (start / "README.md").write_text("any")
    data = tmp_path / "rows.jsonl"
    data.write_bytes((rows / "rows.jsonl").read_bytes())
    first = identity(recipe, data, {"model": start})
    assert first == json.loads(json.dumps(first)), "equal to what is read back from run.json"
    (start / "README.md").write_text("other")
    assert identity(recipe, data, {"model": start}) == first
    (start / "model.safetensors").write_bytes(b"Weights")
    other_weights = identity(recipe, data, {"model": start})
    data.write_bytes(data.read_bytes() + b"\n")
    other_data = identity(recipe, data, {"model": start})
    other_recipe = identity(dataclasses.replace(recipe, seed=recipe.seed + 1), data, {"model": start})
    assert [key for key in first if first[key] != other_weights[key]] == ["start"]
    assert [key for key in first if other_weights[key] != other_data[key]] == ["data"]
    assert [key for key in first if other_data[key] != other_recipe[key]] == ["recipe"]


def test_surroundings_name_versions():
    found = surroundings()
    assert found["versions"]["torch"] and found["versions"]["transformers"] and found["python"]


def test_peak_memory_is_in_mib_and_grows_with_what_is_held():
    before = peak_rss_mb()
    held = bytearray(int((before + 50) * 1024**2))
    held[::4096] = b"1" * len(held[::4096])
    assert peak_rss_mb() >= before + 50
