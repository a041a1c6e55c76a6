"""Starting folders that transformers 4.45 reads like transformers 5."""

from __future__ import annotations

import json

import pytest
from safetensors.torch import load_file

from ndino.llava_next.start import link_language_model, link_vision_tower, readable_config


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
