"""A folder of another kind of model is refused by every command at once, with the way out, and unread."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from fixtures.tiny import write_tiny_model
from fixtures.upstream_checkpoint import write_checkpoint, write_tower
from ndino.formats.damage import damaged_file
from ndino.formats.model_kinds import (
    ModelFolderError,
    require_finished,
    require_readable_folder,
    require_weights,
)
from ndino.train.build import load_tokenizer
from tests.commands import refused
from tests.train.conftest import ROOT

KINDS = {
    "upstream": "is a model of the original LLaVA-NeXT code, not ",
    "published": "is a LLaVA-NeXT in Hugging Face format, not ",
    "llama": "is a language model without a vision tower, not ",
    "clip": "is a vision tower alone, not ",
    "adapter": "is an adapter (LoRA) without its base model ",
    "other": "is a llava_qwen model, not ",
    "empty": "has no config.json ",
    "run": "has no config.json (remedy: give ",
    "list": "config.json: is not a JSON object ",
}
# What each command takes, and in what words its remedy begins for a folder of the kinds that are mixed up.
CONVERT = {"upstream": "convert it with `ndino convert`, "}
COMMANDS = {
    "train": (
        "published",
        CONVERT,
    ),
    "train-upstream": ("upstream", {"published": "give the upstream folder of an earlier stage"}),
    "train-language": ("llama", {"upstream": "give it as --model, with --engine llava-next"}),
    "train-tower": ("clip", {"llama": "give it as --language-model"}),
    "evaluate": ("published", CONVERT),
    "perplexity": ("published", CONVERT),
    "convert": ("upstream", {"published": "use it as it is"}),
    "check": (
        "published",
        CONVERT,
    ),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> Path:
    """A folder of each kind, under its name; ``weightless-KIND`` are the whole ones without their weights."""
    made = tmp_path_factory.mktemp("kinds")
    write_tiny_model(made / "published", seed=0)
    write_tower(made / "clip")
    write_checkpoint(made / "upstream", made / "clip")
    shutil.copytree(made / "upstream", made / "llama")
    config = json.loads((made / "upstream" / "config.json").read_text())
    plain = {key: value for key, value in config.items() if "mm_" not in key}
    for name, changes in (
        ("llama", {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}),
        ("other", {"model_type": "llava_qwen", "architectures": ["LlavaQwenForCausalLM"]}),
    ):
        (made / name).mkdir(exist_ok=True)
        (made / name / "config.json").write_text(json.dumps(plain | changes))
    shutil.copy(made / "upstream" / "model.safetensors", made / "other")
    (made / "adapter").mkdir()
    (made / "adapter" / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    save_file({"lora_A": torch.zeros(2)}, made / "adapter" / "adapter_model.safetensors")
    (made / "empty").mkdir()
    for name in ("published", "upstream"):
        shutil.copytree(made / name, made / "run" / {"published": "model"}.get(name, name))
    (made / "list").mkdir()
    (made / "list" / "config.json").write_text("[]")
    for name in ("published", "upstream", "llama", "clip"):
        shutil.copytree(
            made / name, made / f"weightless-{name}", ignore=shutil.ignore_patterns("*.safetensors")
        )
    for name in ("published", "upstream", "llama", "clip"):
        # Beside the finished model where the engines leave it, under any name.
        for place in ("checkpoint-3", {"published": "model"}.get(name, name)):
            shutil.copytree(made / name, made / "stages" / name / place)
        for other in ("trainer_state.json", "scheduler.pt"):
            (made / "stages" / name / "checkpoint-3" / other).write_text("{}")
        shutil.copytree(made / "stages" / name / "checkpoint-3", made / "unfinished" / f"best-{name}")
    (made / "images").mkdir()
    turns = [{"from": "human", "value": "Chi sei?"}, {"from": "gpt", "value": "Un modello."}]
    row = json.dumps({"id": "1", "conversations": turns}) + "\n"
    (made / "rows.jsonl").write_text(16 * row)  # a step of the miniature's pt
    return made


def command(name: str, model: Path, folders: Path, out: Path) -> list[object]:
    recipe = [ROOT / "launch" / "recipes" / "pt.yaml", "--overrides", ROOT / "miniature" / "recipes.yaml"]
    clip, llama, rows = folders / "clip", folders / "llama", folders / "rows.jsonl"
    data = ["--data", rows, "--images", folders / "images", "--out", out]
    job = ["--nodes", 1, "--gpus", 1, "--device", "cpu"]
    return {
        "train": ["train", *recipe, *data, "--model", model],
        "train-upstream": ["train", *recipe, *data, "--model", model, "--engine", "llava-next"],
        "train-language": ["train", *recipe, *data, "--language-model", model, "--vision-tower", clip],
        "train-tower": ["train", *recipe, *data, "--language-model", llama, "--vision-tower", model],
        "evaluate": ["evaluate", "--model", model, "--data", folders, "--tasks", "pope-it", "--out", out],
        "perplexity": ["perplexity", "--model", model, "--data", rows, "--out", f"{out}.jsonl"],
        "convert": ["convert", model, out],
        "check": ["cluster", "check", *recipe, *data, "--model", model, *job],
    }[name]


@pytest.fixture
def nothing_is_built(monkeypatch):
    from transformers import PreTrainedModel

    def build(*_, **__):
        raise AssertionError("a model is built")

    monkeypatch.setattr(PreTrainedModel, "from_pretrained", build)
    monkeypatch.setattr(PreTrainedModel, "_from_config", build)


@pytest.mark.parametrize("name", COMMANDS)
def test_another_kind_of_folder_is_refused_with_the_way_out(
    name, folders, tmp_path, capsys, monkeypatch, nothing_is_built
):
    if name == "train-upstream":
        # The tree is looked for first; here it need not be set up.
        monkeypatch.setattr("ndino.llava_next.engine.find_tree", lambda: None)
    wanted, remedies = COMMANDS[name]
    for kind, said in KINDS.items():
        if kind == wanted:
            continue
        line = one_line(capsys, command(name, folders / kind, folders, tmp_path / "out"))
        assert f"{folders / kind}" in line and said in line, (kind, line)
        if kind == "run":
            inner = {"published": "model", "upstream": "upstream"}.get(wanted, "")
            assert str(folders / "run" / inner) in line
        else:
            assert remedies.get(kind, "") in line, (kind, line)
    line = one_line(capsys, command(name, folders / f"weightless-{wanted}", folders, tmp_path / "out"))
    remedy = "fetch or save it whole" if name == "convert" else "copy or download the weights again"
    assert "has no weights" in line and f"(remedy: {remedy}" in line
    stage = folders / "stages" / wanted
    line = one_line(capsys, command(name, stage / "checkpoint-3", folders, tmp_path / "out"))
    assert f"{stage / 'checkpoint-3'}: is a checkpoint to resume training from, not a finished model" in line
    if wanted in ("published", "upstream"):
        assert f"(remedy: give {stage / {'published': 'model'}.get(wanted, wanted)})" in line
    alone = folders / "unfinished" / f"best-{wanted}"
    line = one_line(capsys, command(name, alone, folders, tmp_path / "out"))
    assert f"{alone}: is a checkpoint" in line and "(remedy: let its training finish, and give the" in line
    assert not [*tmp_path.iterdir()], "a refused command writes nothing"


def one_line(capsys, arguments: list[object]) -> str:
    """The line in which a command is refused, whatever its exit code."""
    from ndino.cli import main

    assert main([str(argument) for argument in arguments]) in (1, 2)
    message = capsys.readouterr().err
    lines = [line for line in message.splitlines() if line]
    assert len(lines) == 1 and "Traceback" not in message, message
    return lines[0]


def test_a_shard_that_is_missing_and_a_link_to_nowhere_are_named(folders, tmp_path):
    folder = tmp_path / "sharded"
    folder.mkdir()
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}))
    (folder / "model-1.safetensors").touch()
    with pytest.raises(
        ModelFolderError, match=r"has no model-2\.safetensors, which model\.safetensors\.index"
    ):
        require_weights(folder, "")
    index.write_text('{"weight_map": ["a"]}')
    with pytest.raises(ModelFolderError, match="has no weight_map"):
        require_weights(folder, "")
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    with pytest.raises(ModelFolderError, match=r"link: is a link to .*gone, which is not there"):
        require_readable_folder(tmp_path / "link", "")


def test_what_upstream_leaves_of_its_trainer_does_not_make_a_checkpoint(folders, tmp_path):
    shutil.copytree(folders / "upstream", tmp_path / "upstream")
    for name in ("trainer_state.json", "training_args.bin"):
        (tmp_path / "upstream" / name).touch()
    require_finished(tmp_path / "upstream", "upstream")


@pytest.mark.parametrize("name", ["train", "train-upstream", "train-language", "train-tower", "check"])
def test_a_damaged_file_of_weights_is_named(name, folders, tmp_path, capsys, monkeypatch, nothing_is_built):
    monkeypatch.setattr("ndino.llava_next.engine.find_tree", lambda: None)
    shutil.copytree(folders / COMMANDS[name][0], tmp_path / "model")
    weights = tmp_path / "model" / "model.safetensors"
    os.truncate(weights, weights.stat().st_size - 1)
    line = one_line(capsys, command(name, tmp_path / "model", folders, tmp_path / "out"))
    assert f"{weights}: damaged: " in line and "(remedy: copy the model again)" in line


@pytest.mark.parametrize("content", ["{", "{}", '{"version": "1.0"}'])
def test_a_damaged_tokenizer_is_named(folders, tmp_path, content):
    shutil.copytree(folders / "published", tmp_path / "model")
    assert damaged_file(tmp_path / "model") is None
    (tmp_path / "model" / "tokenizer.json").write_text(content)
    with pytest.raises(ModelFolderError, match=r"tokenizer\.json: .*\(remedy: copy the model again\)"):
        load_tokenizer(tmp_path / "model")


def test_an_adapter_merged_in_place_is_a_whole_model(folders, tmp_path, capsys):
    shutil.copytree(folders / "published", tmp_path / "model")
    shutil.copy(folders / "adapter" / "adapter_config.json", tmp_path / "model")
    line = refused(capsys, "convert", tmp_path / "model", tmp_path / "out")
    assert "is a LLaVA-NeXT in Hugging Face format" in line
