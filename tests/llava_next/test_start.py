"""Starting folders that transformers 4.45 reads like transformers 5."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer

from fixtures.upstream_checkpoint import write_checkpoint, write_tower
from ndino.formats.model_kinds import ModelFolderError
from ndino.formats.prompts import END_OF_TURN
from ndino.llava_next.engine import run_stage
from ndino.llava_next.start import link_language_model, link_vision_tower, readable_config
from ndino.train.stage import Stage
from ndino.train.start import find_tower


def test_the_rotary_base_is_kept_for_4_45():
    config = {"rope_parameters": {"rope_theta": 500_000.0, "rope_type": "default"}, "dtype": "bfloat16"}
    assert readable_config(config) == {
        "rope_theta": 500_000.0,
        "rope_scaling": None,
        "torch_dtype": "bfloat16",
    }
    assert "rope_parameters" in config  # the caller's dictionary is unchanged


def test_weights_and_vocabulary_are_links(backbones, tmp_path):
    folder = link_language_model(backbones.language_model, tmp_path / "llama")
    assert (folder / "model.safetensors").resolve() == (backbones.language_model / "model.safetensors")
    assert (folder / "tokenizer.json").is_symlink()
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    assert settings["tokenizer_class"] == "PreTrainedTokenizerFast"


def test_a_tower_of_transformers_5_gets_its_old_names(backbones, tmp_path):
    folder = link_vision_tower(backbones.vision_tower, tmp_path / "tower")
    ours = load_file(backbones.vision_tower / "model.safetensors")
    theirs = load_file(folder / "model.safetensors")
    assert theirs.keys() == {f"vision_model.{name}" for name in ours}
    assert all(theirs[f"vision_model.{name}"].equal(value) for name, value in ours.items())
    assert (folder / "preprocessor_config.json").exists()


def test_a_tower_with_old_names_is_used_in_place(backbones, tmp_path):
    once = link_vision_tower(backbones.vision_tower, tmp_path / "once")
    assert link_vision_tower(once, tmp_path / "twice") == once
    assert not (tmp_path / "twice").exists()


@pytest.mark.upstream
def test_upstream_s_class_reads_what_transformers_5_wrote(first_run, backbones, inside, tmp_path):
    """A frozen tower and language model are unchanged by the first stage, bit for bit."""
    inside("weights", checkpoint=first_run / "upstream", out=tmp_path / "weights.safetensors")
    theirs = load_file(tmp_path / "weights.safetensors")
    tower = load_file(backbones.vision_tower / "model.safetensors")
    language = load_file(backbones.language_model / "model.safetensors")
    for name, value in tower.items():
        assert theirs[f"model.vision_tower.vision_tower.vision_model.{name}"].equal(value), name
    for name, value in language.items():
        assert theirs[name][: len(value)].equal(value), name


@pytest.fixture(scope="module")
def published_by_its_authors(tmp_path_factory) -> Path:
    """A checkpoint laid out like lmms-lab/llama3-llava-next-8b: in shards, its tower a name on the hub.

    Padded with ``<|eot_id|>``, as many models derived from LLaMA 3 are.
    """
    folder = tmp_path_factory.mktemp("hub") / "llama3-llava-next-8b"
    write_checkpoint(folder, "openai/clip-vit-large-patch14-336", shards=4, dtype=torch.bfloat16)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "pad_token": END_OF_TURN}))
    return folder


def test_a_published_checkpoint_s_tower_is_found(published_by_its_authors, tmp_path, monkeypatch):
    hub = "openai/clip-vit-large-patch14-336"
    with pytest.raises(ModelFolderError, match=rf"tower {hub} is not on this machine .*VISION_TOWER="):
        find_tower(published_by_its_authors)
    tower = write_tower(tmp_path / "cache" / "clip")
    assert find_tower(published_by_its_authors, tower) == tower
    # In the hub's cache.
    cached = {(hub, "config.json"): str(tower / "config.json")}
    monkeypatch.setattr("ndino.train.start.try_to_load_from_cache", lambda *asked: cached[asked])
    assert find_tower(published_by_its_authors) == tower
    # A folder of this machine, and one in the checkpoint.
    copy = tmp_path / "checkpoint"
    shutil.copytree(published_by_its_authors, copy)
    shutil.copytree(tower, copy / "tower")
    for recorded, found in ((str(tower), tower), ("tower", copy / "tower")):
        config = json.loads((copy / "config.json").read_text())
        (copy / "config.json").write_text(json.dumps({**config, "mm_vision_tower": recorded}))
        assert find_tower(copy) == found
    (copy / "config.json").write_text(json.dumps({**config, "mm_vision_tower": None}))
    with pytest.raises(ModelFolderError, match=r"config\.json: names no mm_vision_tower \(remedy: name its"):
        find_tower(copy)


@pytest.mark.upstream
def test_a_stage_starts_from_a_published_checkpoint(tree, recipe, rows, published_by_its_authors, tmp_path):
    """Its own tower's weights are trained, not those of the folder that says what kind of tower it is."""
    tower = write_tower(tmp_path / "clip")
    still = dataclasses.replace(
        recipe,
        learning_rate=1e-12,
        vision_learning_rate=1e-12,
        warmup_ratio=0.0,
        max_steps=1,
        grid_pinpoints=((112, 112), (56, 168), (168, 56)),  # not the parent's
    )
    start = Stage(
        still, rows / "rows.jsonl", rows / "images", tmp_path / "run", model=published_by_its_authors
    )
    with pytest.raises(ModelFolderError, match="is not on this machine"):
        run_stage(start)
    assert not start.out.exists(), "a run that cannot start is not on record"
    model = run_stage(dataclasses.replace(start, vision_tower=tower), on_step=lambda *_: None)
    before = {
        name: value
        for path in published_by_its_authors.glob("*.safetensors")
        for name, value in load_file(path).items()
    }
    after = load_file(start.out / "upstream" / "model.safetensors")
    for name, value in before.items():
        assert torch.allclose(after[name][: len(value)], value.float(), atol=1e-6), name
    config = json.loads((model / "config.json").read_text())
    settings = json.loads((model / "processor_config.json").read_text())["image_processor"]
    grid = [list(pair) for pair in still.grid_pinpoints]
    assert config["image_grid_pinpoints"] == settings["image_grid_pinpoints"] == grid
    tokenizer = AutoTokenizer.from_pretrained(model)
    assert tokenizer.pad_token == "<|pad|>"
    assert tokenizer.model_max_length == config["text_config"]["max_position_embeddings"] == 2048
    manifest = json.loads((start.out / "manifest.json").read_text())
    assert manifest["largest_logit_difference"] < 1e-4 and set(manifest["start"]) == {"model", "vision_tower"}
