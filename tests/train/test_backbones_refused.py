"""Folders that are no backbones, or none that fit, are refused with one line before weights are loaded."""

from __future__ import annotations

import dataclasses
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, PreTrainedModel

from fixtures.backbones import PATCH, SHAPE, SIDE, write_language_model, write_vision_tower
from fixtures.tiny import byte_level_bpe
from ndino.formats.backbones.headers import misfit
from ndino.formats.backbones.language import probe_ids, require_generation
from ndino.formats.backbones.tower import grid_of
from ndino.formats.model_kinds import ModelFolderError
from ndino.train import build, manifest
from ndino.train.build import build_model, load_model, load_tokenizer, save_model
from ndino.train.engine import run_stage
from ndino.train.launching import memory
from ndino.train.launching.memory import require_memory
from ndino.train.resuming.distribution import Distribution
from ndino.train.stage import Stage, StageError
from ndino.train.start import check_start

MUCH = 1 << 60  # bytes


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = tmp_path_factory.mktemp("refused")
    write_language_model(made / "language", "qwen3")
    write_vision_tower(made / "tower", "siglip2")
    return made


@pytest.fixture
def nothing_is_loaded(monkeypatch):
    def load(*_, **__):
        raise AssertionError("weights are loaded")

    monkeypatch.setattr(PreTrainedModel, "from_pretrained", load)


def changed(folder, to, **changes):
    """A copy of a folder whose config.json has these values; None removes one."""
    shutil.copytree(folder, to)
    config = json.loads((to / "config.json").read_text()) | changes
    config = {key: value for key, value in config.items() if value is not None}
    (to / "config.json").write_text(json.dumps(config))
    return to


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"model_type": "t5", "is_encoder_decoder": True}, r"is an encoder-decoder \(t5\), not a language"),
        ({"model_type": "bart", "is_encoder_decoder": True}, r"is an encoder-decoder \(bart\), not a"),
        ({"model_type": "gemma3"}, r"is a vision-language model \(gemma3\), not a language model"),
        ({"model_type": "bert", "architectures": ["BertForMaskedLM"]}, "is a bert model without a head that"),
        ({"model_type": "qwen3", "architectures": ["Qwen3Model"]}, "is a qwen3 model without a head that"),
        ({"quantization_config": {"quant_method": "gptq"}}, r"its weights are quantised \(gptq\), which"),
        ({"model_type": "olmo2", "architectures": ["Olmo2Model"]}, "is an olmo2 model without a head that"),
        ({"model_type": "quite_new"}, "is a quite_new model, not a language model.* that transformers knows"),
        ({"model_type": "siglip"}, r"is a vision tower alone, not a .*\(remedy: give it as --vision-tower"),
    ],
)
def test_other_models_are_no_language_model(folders, recipe, tmp_path, nothing_is_loaded, settings, said):
    folder = changed(folders / "language", tmp_path / "other", architectures=None)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | settings))
    with pytest.raises(ModelFolderError, match=f"^{folder}: {said}"):
        build_model(folder, folders / "tower", recipe)


def naflex(vision):
    """SigLIP 2 for images of any shape: it has a number of patches where the others have a side."""
    kept = {key: value for key, value in vision.items() if key != "image_size"}
    return {"model_type": "siglip2", "vision_config": kept | {"model_type": "siglip2_vision_model"}}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (lambda _: {"model_type": "siglip_text_model"}, "is a siglip_text_model model without a head"),
        (
            lambda _: {"model_type": "llava"},
            r"is a vision-language model \(llava\), not a vision tower alone",
        ),
        (naflex, "features do not fit: config.json has no image_size of the tower"),
        (
            lambda v: {"vision_config": v | {"image_size": [56, 28]}},
            r"fit: config.json has \[56, 28\] as image_s",
        ),
        (
            lambda v: {"vision_config": v | {"num_channels": 4}},
            "features do not fit: a tile of 56 pixels cannot",
        ),
        (
            lambda v: {"vision_config": v | {"image_size": 50}},
            "image size 50 does not divide the grid pinpoints",
        ),
        (lambda v: {"vision_config": v | {"num_hidden_layers": 0}}, "config.json has 0 as num_hidden_layers"),
    ],
)
def test_towers_whose_features_do_not_fit(folders, recipe, tmp_path, nothing_is_loaded, settings, said):
    config = json.loads((folders / "tower" / "config.json").read_text())
    folder = changed(folders / "tower", tmp_path / "tower", **settings(config["vision_config"]))
    with pytest.raises(ModelFolderError, match=f"^{folder}: .*{said}"):
        build_model(folders / "language", folder, recipe)


def test_a_feature_layer_outside_the_tower_and_images_of_unknown_colours(folders, recipe, tmp_path):
    with pytest.raises(ModelFolderError, match="its vision tower has 2 layers, vision_feature_layer is 3"):
        build_model(
            folders / "language", folders / "tower", dataclasses.replace(recipe, vision_feature_layer=3)
        )
    folder = changed(folders / "tower", tmp_path / "tower")
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(
        ModelFolderError, match=r"has no preprocessor_config\.json, which says how its images"
    ):
        build_model(folders / "language", folder, recipe)
    (folder / "preprocessor_config.json").write_text('{"image_mean": 0.5, "image_std": [1, 1, 1]}')
    with pytest.raises(ModelFolderError, match=r"image_mean is 0\.5, not three numbers"):
        build_model(folders / "language", folder, recipe)


def test_a_language_model_and_a_tower_of_another_structure(folders, recipe, tmp_path, nothing_is_loaded):
    with pytest.raises(
        ModelFolderError, match=r"is a language model .*\(remedy: give it as --language-model"
    ):
        build_model(folders / "language", folders / "language", recipe)
    folder = changed(folders / "tower", tmp_path / "tower")
    shape = {**SHAPE, "num_attention_heads": 2, "image_size": SIDE, "patch_size": PATCH}
    (folder / "config.json").write_text(json.dumps({"model_type": "aimv2_vision_model", **shape}))
    with pytest.raises(
        ModelFolderError, match="its vision tower, aimv2_vision_model, is not built like a CLIP: it has"
    ):
        build_model(folders / "language", folder, recipe)


def test_the_paper_s_grid_keeps_its_tiles_on_a_tower_of_another_side():
    paper = ((672, 336), (336, 672), (672, 672), (336, 1008), (1008, 336))
    assert grid_of(paper, 336) == paper
    assert grid_of(paper, 384) == ((768, 384), (384, 768), (768, 768), (384, 1152), (1152, 384))
    assert grid_of(paper, 224)[0] == (448, 224)
    assert grid_of(paper, 168) == paper, "tiles that divide the grid keep its pixels"
    assert grid_of(((112, 56),), 56) == ((112, 56),)
    assert grid_of(((100, 100),), 56) is None


@pytest.mark.parametrize(
    ("kind", "changes", "said"),
    [
        ("cohere", {"logit_scale": 3.0}, "in LLaVA-NeXT its logits would be others"),
        ("phi", {}, "its head is not a linear layer without a bias"),
        ("gpt2", {}, "its embeddings are not where LLaVA-NeXT looks for them"),
        # Its heads are 128 wide, whatever the width of the model.
        (
            "helium",
            {"num_attention_heads": 2},
            r"cannot be run: mat1 and mat2 .*\(remedy: correct its config",
        ),
        (
            "minimax",
            {"head_dim": 8, "layer_types": ["linear_attention", "full_attention"]},
            "in LLaVA-NeXT it cannot generate: MiniMax uses cache of its own",
        ),
        (
            "jamba",
            {"attn_layer_period": 8, "attn_layer_offset": 4, "use_mamba_kernels": False},
            "in LLaVA-NeXT it cannot generate: ",
        ),
    ],
)
def test_what_llava_next_cannot_hold(folders, recipe, tmp_path, kind, changes, said):
    folder = write_language_model(tmp_path / kind, kind, **changes)
    with pytest.raises(ModelFolderError, match=f"^{folder}: {said}"):
        build_model(folder, folders / "tower", recipe)


def test_a_cache_that_changes_what_is_said(folders, recipe):
    model, _ = build_model(folders / "language", folders / "tower", recipe)
    ids = probe_ids(model)
    require_generation(model, ids, folders / "language")

    def one_token_alone(module, arguments, given, output):
        if given["input_ids"].shape[1] == 1:
            output.logits += 0.1 * output.logits.abs().max()

    model.register_forward_hook(one_token_alone, with_kwargs=True)
    with pytest.raises(ModelFolderError, match="its logits are others with a cache of earlier tokens than"):
        require_generation(model, ids, folders / "language")


@pytest.mark.parametrize("role", ["language", "tower"])
def test_settings_of_a_larger_model_take_no_memory(folders, recipe, tmp_path, monkeypatch, capfd, role):
    config = json.loads((folders / role / "config.json").read_text())
    large = {"hidden_size": 65536, "num_hidden_layers": 200}
    if role == "tower":
        large = {"vision_config": config["vision_config"] | large}
    folder = changed(folders / role, tmp_path / role, layer_types=None, **large)
    pair = (folder, folders / "tower") if role == "language" else (folders / "language", folder)

    def load(*_, **__):
        raise AssertionError("memory is taken")

    monkeypatch.setattr(build, "_load", load)
    with pytest.raises(
        ModelFolderError, match=f"^{folder}: .* of the size that config.json gives.* x 65536|65536 by"
    ):
        build_model(*pair, recipe)
    assert "MISMATCH" not in "".join(capfd.readouterr())


@pytest.mark.parametrize("saved_as", ["model.safetensors", "pytorch_model.bin", "parts"])
def test_weights_are_compared_in_every_form(folders, tmp_path, saved_as):
    folder = changed(folders / "language", tmp_path / "language")
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()

    def save(weights):
        if saved_as == "parts":
            names = list(weights)
            parts = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
            for part, held in parts.items():
                save_file({name: weights[name] for name in held}, folder / part, metadata={"format": "pt"})
            index = {"weight_map": {name: part for part, held in parts.items() for name in held}}
            (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        elif saved_as == "pytorch_model.bin":
            torch.save(weights, folder / saved_as)
        else:
            save_file(weights, folder / saved_as, metadata={"format": "pt"})

    save(weights)
    assert misfit(AutoModelForCausalLM, folder) == ""
    weights.pop("model.norm.weight")
    save(weights)
    assert misfit(AutoModelForCausalLM, folder) == "1 weights are missing, model.norm.weight among them"


@pytest.mark.parametrize("role", ["language", "tower"])
def test_weights_that_are_missing_or_of_another_shape(folders, recipe, tmp_path, role):
    for change, said in (
        (lambda weights: weights.popitem(), "1 weights are missing"),
        (
            lambda weights: weights.update({key: weights[key][:-1].clone() for key in [*weights][:1]}),
            "of the size",
        ),
    ):
        folder = tmp_path / said.replace(" ", "-")
        shutil.copytree(folders / role, folder)
        weights = load_file(folder / "model.safetensors")
        part = {
            key: value for key, value in weights.items() if role == "language" or "vision_model.enc" in key
        }
        rest = {key: value for key, value in weights.items() if key not in part}
        change(part)
        save_file(part | rest, folder / "model.safetensors", metadata={"format": "pt"})
        pair = (folder, folders / "tower") if role == "language" else (folders / "language", folder)
        with pytest.raises(ModelFolderError, match=f"^{folder}: .*{said}"):
            build_model(*pair, recipe)


def test_a_prompt_asks_only_for_the_tokens_that_it_has(folders, tmp_path):
    tokenizer = byte_level_bpe(["un gatto"] * 3, 300, ["<|endoftext|>"])
    folder = changed(folders / "language", tmp_path / "language")
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"eos_token": "<|endoftext|>"}')
    assert load_tokenizer(folder, "plain").pad_token == "<|pad|>"
    with pytest.raises(ModelFolderError, match=r"no token <\|begin_of_text\|>, which prompt: llama3 needs"):
        load_tokenizer(folder, "llama3")


def test_a_saved_model_whose_strategy_is_not_its_towers(folders, recipe, tmp_path):
    built = build_model(folders / "language", folders / "tower", recipe)
    save_model(*built, tmp_path / "model", prompt="llama3")
    path = tmp_path / "model" / "config.json"
    path.write_text(path.read_text().replace('"full"', '"default"'))
    with pytest.raises(
        ModelFolderError, match="select_strategy is default, and its tower gives no class token"
    ):
        load_model(tmp_path / "model", recipe)


@pytest.fixture
def stage(stage, folders) -> Stage:
    return dataclasses.replace(stage, language_model=folders / "language", vision_tower=folders / "tower")


def test_the_upstream_engine_names_the_native_one(folders, stage, backbones, tmp_path, nothing_is_loaded):
    with pytest.raises(
        ModelFolderError, match=r"is a qwen3, .* takes LLaMA alone \(remedy: .*--engine native"
    ):
        check_start(stage, upstream=True)
    other = dataclasses.replace(stage, language_model=backbones.language_model)
    with pytest.raises(
        ModelFolderError, match=r"is a siglip_vision_model, .* takes CLIP alone \(remedy: .*native"
    ):
        check_start(other, upstream=True)
    changed(folders / "language", tmp_path / "olmo2", model_type="olmo2", architectures=None)
    with pytest.raises(ModelFolderError, match=r"is an olmo2, the upstream engine takes LLaMA alone"):
        check_start(dataclasses.replace(stage, language_model=tmp_path / "olmo2"), upstream=True)
    check_start(stage, upstream=False)


def test_a_model_too_large_is_told_with_its_bytes_before_it_is_loaded(stage, monkeypatch, nothing_is_loaded):
    counts = memory.weights_by_part(stage)
    weights = load_file(stage.language_model / "model.safetensors")
    assert counts["language_model"] == sum(value.numel() for value in weights.values())
    weights = load_file(stage.vision_tower / "model.safetensors")
    own = [value.numel() for name, value in weights.items() if name.startswith("vision_model.")]
    assert counts["vision_tower"] == sum(own) < sum(value.numel() for value in weights.values())
    monkeypatch.setattr(memory, "weights_by_part", lambda _: {"language_model": 8 * 10**9})
    one = Distribution("single", 1)
    with pytest.raises(
        StageError, match=r"8\.00 billion weights need 119\.2 GiB of memory to train on the CPU"
    ):
        monkeypatch.setattr(memory, "main_memory", lambda: 100 << 30)
        require_memory(stage, one, ranks_here=1, gpu=None)
    with pytest.raises(StageError, match=r"need 119\.2 GiB of main memory to be loaded by 4 rank\(s\)"):
        require_memory(stage, one, ranks_here=4, gpu=MUCH)
    monkeypatch.setattr(memory, "main_memory", lambda: MUCH)
    with pytest.raises(
        StageError, match=r"need 119\.2 GiB of a GPU's memory to be trained, it has 80\.0 GiB"
    ):
        require_memory(stage, one, ranks_here=1, gpu=80 << 30)
    require_memory(stage, Distribution("fsdp2", 4), ranks_here=4, gpu=80 << 30)
    projector = dataclasses.replace(stage.recipe, trainable="projector")
    require_memory(dataclasses.replace(stage, recipe=projector), one, ranks_here=1, gpu=80 << 30)


def test_a_model_too_large_is_told_before_its_weights_are_hashed(stage, monkeypatch, nothing_is_loaded):
    def read(*_):
        raise AssertionError("weights are read")

    monkeypatch.setattr(manifest, "fingerprint", read)
    monkeypatch.setattr(memory, "main_memory", lambda: 1000)
    with pytest.raises(StageError, match=r"billion weights need .*memory.*\(remedy: "):
        run_stage(stage, on_step=lambda *_: None)
    assert not stage.out.exists()


def test_a_finished_run_needs_no_memory(stage, monkeypatch):
    stage = dataclasses.replace(stage, recipe=dataclasses.replace(stage.recipe, max_steps=2))
    model = run_stage(stage, on_step=lambda *_: None)
    monkeypatch.setattr(memory, "main_memory", lambda: 1000)
    assert run_stage(stage, on_step=lambda *_: None) == model


def test_the_recipe_may_name_the_backbones(folders, rows, tmp_path):
    from ndino.cli import parser
    from ndino.train.stage import stage_of
    from tests.train.conftest import ROOT

    own = tmp_path / "recipes" / "own.yaml"
    shutil.copytree(ROOT / "launch" / "recipes", own.parent)
    own.write_text(
        f"extends: it\nlanguage_model: {folders / 'language'}\nvision_tower: {folders / 'tower'}\n"
    )

    def stage(*arguments):
        return stage_of(parser("train").parse_args([str(own), "--out", "run", *arguments]))

    assert stage().start == {"language_model": folders / "language", "vision_tower": folders / "tower"}
    assert stage("--language-model", "other").start["language_model"].name == "other"
    assert stage("--model", "earlier").start.keys() == {"model"}
