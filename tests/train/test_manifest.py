"""The identity of a run, and what a manifest records of its surroundings."""

from __future__ import annotations

import dataclasses
import json
import shutil

from ndino.formats.recipes import NOT_IN_IDENTITY, Recipe
from ndino.train import manifest
from ndino.train.manifest import differences, identity, peak_rss_mb, surroundings


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


# Another value of every field without a bearing on the result.
FREE = {
    "name": "other",
    "data": "elsewhere/rows.jsonl",
    "image_folder": "elsewhere",
    "per_device_batch": 1,
    "gradient_checkpointing": True,
    "save_steps": 5,
    "save_total_limit": 3,
    "loader_workers": 7,
    "report_to": "tensorboard",
    "max_rejected": 0.5,
}


def test_a_run_differs_in_what_its_result_depends_on_and_in_nothing_else(recipe, rows, tmp_path):
    start = {"model": tmp_path}
    recipe = dataclasses.replace(recipe, loss_average="token")
    run = identity(recipe, rows / "rows.jsonl", start)
    assert FREE.items() - dataclasses.asdict(recipe).items() == FREE.items()
    moved = tmp_path / "moved.jsonl"
    moved.write_bytes((rows / "rows.jsonl").read_bytes())
    assert differences(run, identity(dataclasses.replace(recipe, **FREE), moved, start)) == []
    assert FREE.keys() <= NOT_IN_IDENTITY.keys() <= {field.name for field in dataclasses.fields(Recipe)}
    other = {"learning_rate": 0.5, "effective_batch": 8, "seed": 3, "precision": "bf16", "max_length": 99}
    for name, value in other.items():
        changed = identity(dataclasses.replace(recipe, **{name: value}), moved, start)
        assert differences(run, changed) == [f"recipe ({name} {getattr(recipe, name)}, now {value})"]
    moved.write_text("other rows")
    changed = identity(recipe, moved, start)
    (found,) = differences(run, changed)
    before, now = (each["data"]["sha256"][:8] for each in (run, changed))
    assert found == f"data (rows.jsonl with sha256 {before}, now moved.jsonl with sha256 {now})"


def test_another_start_or_engine_is_named_with_both_values(recipe, rows, tmp_path):
    folders = []
    for name in ("old", "new"):
        folders.append(tmp_path / name)
        folders[-1].mkdir()
        (folders[-1] / "model.safetensors").write_text(name)
    data = rows / "rows.jsonl"
    old, new = (identity(recipe, data, {"model": folder}) for folder in folders)
    digits = [run["start"]["model"][:8] for run in (old, new)]
    told = [f"{folder} with weights {each}" for folder, each in zip(folders, digits, strict=True)]
    assert differences(old, new) == [f"start (model {told[0]}, now {told[1]})"]
    shutil.copytree(folders[0], tmp_path / "moved")
    assert differences(old, identity(recipe, data, {"model": tmp_path / "moved"})) == []
    earlier = {key: value for key, value in old.items() if key != "start_folders"}
    assert differences(earlier, new) == [f"start (model {digits[0]}, now {told[1]})"]
    fresh = identity(recipe, data, {"language_model": folders[0], "vision_tower": folders[1]})
    (found,) = differences(old, fresh)
    assert f"model {told[0]}, now none" in found and f"vision_tower none, now {told[1]}" in found
    upstream = {**old, "engine": "llava-next"}
    assert differences(upstream, old) == ["engine (llava-next, now native)"]
    assert differences(old, upstream) == ["engine (native, now llava-next)"]


def test_micro_batches_count_where_the_loss_is_averaged_within_them(recipe, rows, tmp_path):
    def run(batch: int, average: str) -> dict:
        changed = dataclasses.replace(recipe, per_device_batch=batch, loss_average=average)
        return identity(changed, rows / "rows.jsonl", {"model": tmp_path})

    assert recipe.effective_batch == 4
    found = differences(run(2, "micro_batch"), run(1, "micro_batch"))
    assert found == ["recipe (per_device_batch 2, now 1)"]
    assert differences(run(4, "micro_batch"), run(1, "micro_batch")) == ["recipe (per_device_batch 4, now 1)"]
    (found,) = differences(run(2, "micro_batch"), run(1, "token"))
    assert found == "recipe (loss_average micro_batch of 2, now token)"
    assert differences(run(2, "micro_batch"), run(2, "token"))
    assert differences(run(4, "micro_batch"), run(2, "token")) == [], "one micro-batch: one average"
    # The native engine averaged over tokens before there was a choice, upstream over micro-batches.
    for engine, average in ({}, "token"), ({"engine": "llava-next"}, "micro_batch"):
        earlier = {**run(2, average), **engine}
        del earlier["recipe"]["loss_average"]
        assert differences(earlier, {**run(2, average), **engine}) == []
        other = {"token": "micro_batch", "micro_batch": "token"}[average]
        assert differences(earlier, {**run(2, other), **engine})


def test_a_field_that_an_earlier_version_had_not_counts_as_its_default(recipe, rows, tmp_path, monkeypatch):
    run = identity(recipe, rows / "rows.jsonl", {"model": tmp_path})
    monkeypatch.setitem(manifest._DEFAULTS, "newer", "as before")
    assert differences(run, {**run, "recipe": {**run["recipe"], "newer": "as before"}}) == []
    found = differences(run, {**run, "recipe": {**run["recipe"], "newer": "otherwise"}})
    assert found == ["recipe (newer as before, now otherwise)"]


def test_surroundings_name_versions():
    found = surroundings()
    assert found["versions"]["torch"] and found["versions"]["transformers"] and found["python"]


def test_peak_memory_is_in_mib_and_grows_with_what_is_held():
    before = peak_rss_mb()
    held = bytearray(int((before + 50) * 1024**2))
    held[::4096] = b"1" * len(held[::4096])
    assert peak_rss_mb() >= before + 50
