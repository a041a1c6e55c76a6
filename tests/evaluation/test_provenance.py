"""Every result's key against everything that the result depends on."""

from __future__ import annotations

import dataclasses
import json
import shutil

import pytest

from ndino.evaluation import provenance
from ndino.evaluation.models import HF, Backend, Model, find_model
from ndino.evaluation.provenance import (
    answers_depend_on,
    data_revision,
    device_kind,
    result_key,
    what_changed,
)

PARTS = {part: part[0] * 32 for part in ("weights", "processor", "chat template", "tokenizer", "config")}
MODEL = Model("it", "runs/it/model", "/nowhere/it/model", "0" * 32, PARTS)
TASK = {
    "version": 1.0,
    "questions": 8,
    "data": "d" * 16,
    "prompts": "p" * 32,
    "generation": {"max_new_tokens": 16},
}


def key(model: Model = MODEL, backend: str = "", wrapper: str = "LlavaNextIt 2", **task: object) -> str:
    return result_key(
        {"answers": answers_depend_on(model, Backend("hf", backend), wrapper), "task": {**TASK, **task}}
    )


@pytest.mark.parametrize("part", PARTS)
def test_each_part_of_the_model_counts(part):
    changed = dataclasses.replace(MODEL, parts={**PARTS, part: "1" * 32})
    assert key(changed) != key()


@pytest.mark.parametrize("package", provenance.PACKAGES)
def test_each_package_counts(package, monkeypatch):
    before = key()
    found = provenance.versions

    def newer(names):
        return {**found(names), package: "99.0"}

    monkeypatch.setattr(provenance, "versions", newer)
    assert key() != before


@pytest.mark.parametrize(
    "changed",
    [
        {"wrapper": "LlavaNextIt 3"},
        *({"backend": given} for given in ("dtype=bfloat16", "device=cuda:1", "attn_implementation=eager")),
        {"backend": "load_in_4bit=True"},
        *({"version": 2.0}, {"questions": 4}, {"data": "e" * 16}, {"prompts": "q" * 32}),
        {"generation": {"max_new_tokens": 17}},
    ],
    ids=str,
)
def test_each_setting_counts(changed):
    assert key(**changed) != key()


@pytest.mark.parametrize(
    "changed",
    [
        {"model": dataclasses.replace(MODEL, name="b", source="elsewhere", path="/elsewhere")},
        *({"backend": given} for given in ("batch_size=1", "device=cpu", "device_map=cpu", "answers=there")),
    ],
    ids=str,
)
def test_what_makes_no_difference_does_not_count(changed, monkeypatch):
    monkeypatch.setattr("torch.accelerator.is_available", lambda: False)
    assert key(**changed) == key()


def test_the_order_in_which_a_key_is_made_does_not_count():
    depends = {"answers": {"a": 1, "b": 2}, "task": {}}
    assert result_key(json.loads('{"task": {}, "answers": {"b": 2, "a": 1}}')) == result_key(depends)


def test_a_model_states_its_dtype_and_a_quantised_one_its_library(tiny_model_folder, tmp_path):
    model = find_model("it", str(tiny_model_folder))
    stated = json.loads((tiny_model_folder / "config.json").read_text())["dtype"]
    assert answers_depend_on(model, HF, "w")["dtype"] == stated == "float32"
    assert answers_depend_on(model, Backend("hf", "dtype=float16"), "w")["dtype"] == "float16"
    assert set(PARTS) - {"chat template"} <= set(answers_depend_on(model, HF, "w"))
    moved = find_model("it", str(shutil.copytree(tiny_model_folder, tmp_path / "moved")))
    assert answers_depend_on(moved, HF, "w") == answers_depend_on(model, HF, "w")


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"device": "cuda:3"}, "cuda"),
        ({"device_map": "cuda:0"}, "cuda"),
        ({"device_map": "auto"}, "cpu"),
        ({}, "cpu"),
    ],
)
def test_where_it_computes_is_a_kind(given, kind, monkeypatch):
    monkeypatch.setattr("torch.accelerator.is_available", lambda: False)
    assert device_kind(given) == kind


def test_what_changed_names_digests_and_shows_the_rest():
    before = {"answers": {"weights": "a" * 32, "torch": "2.1", "gone": "x"}, "task": {"generation": {"k": 1}}}
    now = {"answers": {"weights": "b" * 32, "torch": "2.2", "new": 3}, "task": {"generation": {"k": 2}}}
    assert what_changed(before, now) == (
        "weights, torch 2.1 → 2.2, new none → 3, gone x → none, generation k=1 → k=2"
    )
    assert "did not record" in what_changed(None, now)


def test_a_download_states_its_revision(tmp_path):
    commit = "a" * 40
    snapshot = tmp_path / "datasets--x--y" / "snapshots" / commit
    snapshot.mkdir(parents=True)
    assert data_revision(snapshot) == commit
    records = tmp_path / "local" / ".cache" / "huggingface" / "download" / "data"
    records.mkdir(parents=True)
    for name in ("a", "b"):
        (records / f"{name}.parquet.metadata").write_text(f"{commit}\netag\n1.0\n")
    assert data_revision(tmp_path / "local") == commit
    (records / "b.parquet.metadata").write_text("b" * 40)
    assert data_revision(tmp_path / "local") is None is data_revision(tmp_path)
