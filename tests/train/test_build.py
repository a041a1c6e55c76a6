"""Building a model from two folders, and writing it so that others can read it."""

from __future__ import annotations

import copy
import dataclasses
import json
import shutil

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import (
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoProcessor,
    AutoTokenizer,
    CLIPVisionModel,
    LlavaNextForConditionalGeneration,
)

from ndino.train.build import ModelFolderError, build_model, load_model, save_model


@pytest.fixture(scope="module")
def built(backbones, recipe):
    return build_model(backbones.language_model, backbones.vision_tower, recipe)


def test_backbones_are_copied_and_new_rows_are_the_mean(built, backbones):
    model, processor = built
    language = AutoModelForCausalLM.from_pretrained(backbones.language_model)
    tower = CLIPVisionModel.from_pretrained(backbones.vision_tower)
    old = language.get_input_embeddings().weight
    new = model.get_input_embeddings().weight
    assert torch.equal(new[: len(old)], old)
    assert len(new) % 64 == 0 and len(new) >= len(processor.tokenizer)
    if len(new) > len(old):
        assert torch.allclose(new[len(old) :], old.mean(0))
    for name, value in tower.state_dict().items():
        assert torch.equal(model.model.vision_tower.state_dict()[name], value), name
    assert torch.equal(model.lm_head.weight[: len(old)], language.lm_head.weight)


def test_projector_and_newline_depend_on_the_seed_only(built, backbones, recipe):
    model, _ = built
    torch.rand(3)
    same, _ = build_model(backbones.language_model, backbones.vision_tower, recipe)
    other, _ = build_model(
        backbones.language_model, backbones.vision_tower, dataclasses.replace(recipe, seed=recipe.seed + 1)
    )
    for name, value in model.state_dict().items():
        assert torch.equal(value, same.state_dict()[name]), name
        drawn = "multi_modal_projector" in name or name.endswith("image_newline")
        assert torch.equal(value, other.state_dict()[name]) != drawn, name


@pytest.mark.parametrize(("prompt", "end"), [("plain", "<|end_of_text|>"), ("llama3", "<|eot_id|>")])
def test_transformers_loads_the_saved_folder(built, rows, tmp_path, prompt, end):
    model, processor = built
    folder = tmp_path / "model"
    save_model(model, processor, folder, prompt=prompt)
    assert not folder.with_name("model.partial").exists()
    config = json.loads((folder / "config.json").read_text())
    assert config["architectures"] == ["LlavaNextForConditionalGeneration"]
    # 4.57 does not read the form of 5.x, and would use 10,000 for any model.
    rope = model.config.text_config.rope_parameters
    assert config["text_config"]["rope_theta"] == rope["rope_theta"]
    assert "rope_parameters" not in config["text_config"] and "_name_or_path" not in config["text_config"]
    # What transformers 4.57 needs to read it: a class it knows, a list where it seeks one, no third input.
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    assert settings["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert settings["additional_special_tokens"] == ["<image>"] and "extra_special_tokens" not in settings
    assert settings["model_input_names"] == ["input_ids", "attention_mask"]
    with safe_open(folder / "model.safetensors", "pt") as file:
        names = set(file.keys())
    assert "language_model.model.embed_tokens.weight" in names
    assert "vision_tower.vision_model.embeddings.class_embedding" in names
    assert {"image_newline", "language_model.lm_head.weight"} <= names
    again = AutoModelForImageTextToText.from_pretrained(folder)
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    read = AutoProcessor.from_pretrained(folder)
    assert read.tokenizer.eos_token == end
    assert read.tokenizer.pad_token_id not in (None, read.tokenizer.eos_token_id)
    ends = read.tokenizer.convert_tokens_to_ids(["<|end_of_text|>", "<|eot_id|>"])
    assert again.generation_config.eos_token_id == ends
    text = read.tokenizer.apply_chat_template([{"role": "user", "content": "Ciao"}], tokenize=False)
    ids = read.tokenizer(text)["input_ids"]
    assert ids.count(read.tokenizer.bos_token_id) == 1


def test_a_saved_model_loads_with_the_same_weights(built, recipe, tmp_path):
    model, processor = built
    save_model(model, processor, tmp_path / "model", prompt="llama3")
    again, reread = load_model(tmp_path / "model", recipe)
    assert reread.tokenizer.get_vocab() == processor.tokenizer.get_vocab()
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())


def test_the_recipe_s_grid_and_layer_replace_the_parent_s(built, recipe, tmp_path, caplog):
    save_model(*built, tmp_path / "parent", prompt="llama3")
    grid = ((112, 112), (56, 168), (168, 56))
    other = dataclasses.replace(recipe, grid_pinpoints=grid, vision_feature_layer=-1)
    model, processor = load_model(tmp_path / "parent", other)
    assert (
        "image_grid_pinpoints is [[112, 112], [56, 112], [112, 56]]; the recipe's replaces it" in caplog.text
    )
    wide = Image.new("RGB", (220, 60), "red")
    text = processor.apply_chat_template(
        [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Cosa vedi?"}]}]
    )
    save_model(model, processor, tmp_path / "child", prompt="llama3")
    config = json.loads((tmp_path / "child" / "config.json").read_text())
    settings = json.loads((tmp_path / "child" / "processor_config.json").read_text())["image_processor"]
    assert config["image_grid_pinpoints"] == settings["image_grid_pinpoints"] == [list(pair) for pair in grid]
    assert config["vision_feature_layer"] == -1
    assert config["use_cache"] is True and config["text_config"]["use_cache"] is True
    again = AutoModelForImageTextToText.from_pretrained(tmp_path / "child")
    batch = AutoProcessor.from_pretrained(tmp_path / "child")(images=wide, text=text, return_tensors="pt")
    assert again(**batch).logits.isfinite().all()
    caplog.clear()
    load_model(tmp_path / "child", other)
    assert not caplog.text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"grid_pinpoints": ((100, 100),)}, "image size 56 does not divide the grid pinpoints"),
        ({"vision_feature_layer": -9}, "its vision tower has 3 layers, vision_feature_layer is -9"),
    ],
)
def test_a_recipe_that_does_not_fit_the_tower_is_refused(built, backbones, recipe, tmp_path, changes, said):
    save_model(*built, tmp_path / "parent", prompt="llama3")
    other = dataclasses.replace(recipe, **changes)
    with pytest.raises(ModelFolderError, match=said):
        load_model(tmp_path / "parent", other)
    with pytest.raises(ModelFolderError, match=said):
        build_model(backbones.language_model, backbones.vision_tower, other)


def test_another_image_token_is_refused_and_a_full_vocabulary_grows(built, recipe, tmp_path):
    save_model(*built, tmp_path / "parent", prompt="llama3")
    path = tmp_path / "parent" / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "image_token_index": 3}))
    with pytest.raises(ModelFolderError, match=r"<image> is token \d+ of .*, but image_token_index is 3"):
        load_model(tmp_path / "parent", recipe)
    path.write_text(json.dumps(config))
    # As many tokens as rows, and <|eot_id|> to pad with: the pad token needs a row more.
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "parent")
    tokenizer.add_tokens(
        [f"parola{number}" for number in range(config["text_config"]["vocab_size"] - len(tokenizer))]
    )
    tokenizer.pad_token = "<|eot_id|>"
    path = tmp_path / "parent" / "tokenizer.json"
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    content["added_tokens"] = [token for token in content["added_tokens"] if token["content"] != "<|pad|>"]
    path.write_text(json.dumps(content))
    settings = tmp_path / "parent" / "tokenizer_config.json"
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "pad_token": "<|eot_id|>"}))
    model, processor = load_model(tmp_path / "parent", recipe)
    rows = model.get_input_embeddings().weight
    assert processor.tokenizer.pad_token == "<|pad|>" and processor.tokenizer.pad_token_id < len(rows)
    assert model.config.text_config.vocab_size == len(rows) == len(model.lm_head.weight)


def test_unusable_folders_are_named(backbones, recipe, tmp_path):
    bare = tmp_path / "bare"
    shutil.copytree(backbones.language_model, bare)
    (bare / "tokenizer.json").unlink()
    with pytest.raises(ModelFolderError, match=r"bare: has no tokenizer\.json"):
        build_model(bare, backbones.vision_tower, recipe)
    with pytest.raises(ModelFolderError, match="nowhere: no such model folder"):
        build_model(tmp_path / "nowhere", backbones.vision_tower, recipe)
    with pytest.raises(ModelFolderError, match="image size 56 does not divide"):
        build_model(
            backbones.language_model,
            backbones.vision_tower,
            dataclasses.replace(recipe, grid_pinpoints=((100, 100),)),
        )


def test_settings_that_are_no_json_and_a_runs_folder_are_named(built, backbones, recipe, tmp_path):
    run = tmp_path / "run"
    save_model(*built, run / "model", prompt="llama3")
    with pytest.raises(
        ModelFolderError, match=rf"{run}: has no config.json \(remedy: give {run / 'model'}\)"
    ):
        load_model(run, recipe)
    (run / "model" / "config.json").write_text("{")
    with pytest.raises(
        ModelFolderError, match=r"config.json: broken JSON: .* \(remedy: copy the model again\)"
    ):
        load_model(run / "model", recipe)


def test_a_vocabulary_of_another_size_is_named_with_both_sizes(backbones, recipe, tmp_path):
    folder = tmp_path / "language_model"
    shutil.copytree(backbones.language_model, folder)
    config = json.loads((folder / "config.json").read_text())
    rows, width = config["vocab_size"], config["hidden_size"]
    (folder / "config.json").write_text(json.dumps({**config, "vocab_size": rows + 8}))
    sizes = rf"\d weights are not of the size .*{rows} x {width} in the weights and {rows + 8} x {width} by"
    with pytest.raises(ModelFolderError, match=sizes):
        build_model(folder, backbones.vision_tower, recipe)


@pytest.mark.parametrize("lacking", ["language_model", "vision_tower", "model"])
def test_missing_weights_are_not_drawn_at_random(built, backbones, recipe, tmp_path, lacking):
    folders = {name: tmp_path / name for name in ("language_model", "vision_tower", "model")}
    shutil.copytree(backbones.language_model, folders["language_model"])
    shutil.copytree(backbones.vision_tower, folders["vision_tower"])
    save_model(*built, folders["model"], prompt="llama3")
    path = folders[lacking] / "config.json"
    config = json.loads(path.read_text())
    (config.get("text_config") or config)["num_hidden_layers"] += 1
    path.write_text(json.dumps(config))
    with pytest.raises(ModelFolderError, match=rf"{lacking}: \d+ weights are missing, .*layers"):
        if lacking == "model":
            load_model(folders["model"], recipe)
        else:
            build_model(folders["language_model"], folders["vision_tower"], recipe)


@pytest.mark.parametrize("tied", [False, True])
def test_the_dtype_of_published_weights_is_the_one_asked_for(built, tmp_path, tied):
    """Whatever the model is held in: fp32 masters are published in bf16, and loaded so."""
    model, processor = copy.deepcopy(built)
    if tied:
        config = model.config
        config.tie_word_embeddings = config.get_text_config().tie_word_embeddings = True
        model = LlavaNextForConditionalGeneration(config)
    expected = {name: value.bfloat16() for name, value in model.state_dict().items()}
    save_model(model, processor, tmp_path / "half", prompt="llama3", dtype=torch.bfloat16)
    saved = load_file(tmp_path / "half" / "model.safetensors")
    assert {value.dtype for value in saved.values()} == {torch.bfloat16}
    assert any("lm_head" in name for name in saved) != tied
    config = json.loads((tmp_path / "half" / "config.json").read_text())
    assert {config["dtype"], config["text_config"]["dtype"], config["vision_config"]["dtype"]} == {"bfloat16"}
    loaded = LlavaNextForConditionalGeneration.from_pretrained(tmp_path / "half", dtype="auto")
    assert all(torch.equal(value, expected[name]) for name, value in loaded.state_dict().items())
    assert next(model.parameters()).dtype == torch.float32, "the model itself is not changed"
