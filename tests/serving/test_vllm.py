"""Folders for vLLM: what it would refuse or misread is mended, and what cannot be mended is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoProcessor, LlavaNextForConditionalGeneration

from ndino.cli import main
from ndino.common.locks import exclusive_lock
from ndino.formats.prompts import LLAMA3_CHAT_TEMPLATE
from ndino.serving.vllm.renamed import tensors_in

TOWER = "vision_tower.vision_model."


@pytest.fixture
def folder(tiny_model_folder: Path, tmp_path: Path) -> Path:
    """A model as transformers 5 saves it, to be changed."""
    return Path(shutil.copytree(tiny_model_folder, tmp_path / "tiny"))


@pytest.fixture
def ready(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A model that vLLM takes as it is, to be changed."""
    assert main(["export", str(folder), "--to", "vllm", "--out", str(tmp_path / "ready")]) == 0
    (tmp_path / "ready" / "export.json").unlink()
    # Its files are the other folder's as well.
    made = Path(shutil.copytree(tmp_path / "ready", tmp_path / "model"))
    capsys.readouterr()
    return made


def export(folder: Path, *arguments: object) -> int:
    return main(["export", str(folder), "--to", "vllm", *map(str, arguments)])


def change(path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def assert_same_model(folder: Path, other: Path) -> None:
    """The same weights and prompts."""
    load = LlavaNextForConditionalGeneration.from_pretrained
    states = [load(each).state_dict() for each in (folder, other)]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Che?"}]}]
    processors = [AutoProcessor.from_pretrained(each) for each in (folder, other)]
    prompts = [each.apply_chat_template(messages, tokenize=False) for each in processors]
    assert prompts[0] == prompts[1] and "<image>" in prompts[0]


def test_names_and_settings_of_transformers_5_are_mended(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(folder) == 0
    made = folder.with_name("tiny-vllm")
    said = capsys.readouterr().out
    assert f"{made}: written; mended in it:" in said
    assert "weights: names" in said and "config.json: rope_parameters" in said
    assert f"vllm serve {made} --served-model-name tiny" in said and "--dtype float32" in said
    assert "on a CPU vLLM takes no heads of 16 values" in said

    names = set(tensors_in(made / "model.safetensors"))
    assert {name for name in names if name.startswith("vision_tower.")} == {
        name for name in names if name.startswith(TOWER)
    }
    assert f"{TOWER}embeddings.class_embedding" in names and "language_model.lm_head.weight" in names
    assert json.loads((made / "config.json").read_text())["text_config"]["rope_theta"] == 10000.0
    assert_same_model(folder, made)
    # What is not changed takes no room.
    assert (made / "tokenizer.json").samefile(folder / "tokenizer.json")
    record = json.loads((made / "export.json").read_text())
    assert record["format"] == "vllm" and len(record["mended"]) == 3

    before = {path: path.stat().st_mtime_ns for path in made.iterdir()}
    assert export(folder) == 0
    assert "is whole: nothing to do" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in made.iterdir()} == before
    assert export(made) == 0
    assert f"{made}: vLLM takes it as it is" in capsys.readouterr().out
    assert not folder.with_name("tiny-vllm-vllm").exists()


def test_weights_in_several_files(folder: Path, tmp_path: Path) -> None:
    LlavaNextForConditionalGeneration.from_pretrained(folder).save_pretrained(folder, max_shard_size="100KB")
    (folder / "model.safetensors").unlink()
    assert export(folder, "--out", tmp_path / "made") == 0
    index = json.loads((tmp_path / "made" / "model.safetensors.index.json").read_text())
    for name, place in index["weight_map"].items():
        assert name in tensors_in(tmp_path / "made" / place)
    assert len({*index["weight_map"].values()}) > 2
    assert_same_model(folder, tmp_path / "made")


@pytest.mark.parametrize(
    ("file", "edit", "said"),
    [
        ("config.json", lambda c: c.pop("architectures"), "architectures None"),
        ("config.json", lambda c: c.update(architectures=["LlavaForConditionalGeneration"]), "architectures"),
        ("config.json", lambda c: c.pop("dtype"), "dtype None, of weights in float32"),
        ("config.json", lambda c: c.update(dtype="bfloat16"), "dtype bfloat16, of weights in float32"),
        ("processor_config.json", lambda c: c.pop("processor_class"), "processor_class"),
        (
            "processor_config.json",
            lambda c: c.update(patch_size=14, num_additional_image_tokens=0),
            "patch_size, num_additional_image_tokens",
        ),
        ("tokenizer_config.json", lambda c: c.update(tokenizer_class="TokenizersBackend"), "names that"),
    ],
)
def test_a_setting_that_is_wrong_is_mended(
    ready: Path, capsys: pytest.CaptureFixture[str], file: str, edit: Callable, said: str
) -> None:
    wanted = json.loads((ready / file).read_text())
    change(ready / file, edit)
    assert export(ready) == 0
    assert f"  {file}: {said}" in capsys.readouterr().out
    assert json.loads((ready.with_name("model-vllm") / file).read_text()) == wanted


def test_a_missing_chat_template_is_llama_3s(ready: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (ready / "chat_template.jinja").unlink()
    assert export(ready) == 0
    assert "chat_template.jinja: there was no chat template" in capsys.readouterr().out
    assert (ready.with_name("model-vllm") / "chat_template.jinja").read_text() == LLAMA3_CHAT_TEMPLATE


def _truncate(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


def _lengthen(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(b"\xff" * 8 + path.read_bytes()[8:])


def _as_bin(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _double(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    name = f"{TOWER}embeddings.class_embedding"
    save_file(
        weights | {name.replace("vision_model.", ""): weights[name].clone()}, folder / "model.safetensors"
    )


def _half(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["image_newline"] = weights["image_newline"].to(torch.float8_e4m3fn)
    save_file(weights, folder / "model.safetensors")


def _no_images(folder: Path) -> None:
    (folder / "processor_config.json").unlink()


def _template(text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "chat_template.jinja").write_text(text)


def _config(**fields: Any) -> Callable[[Path], object]:
    return lambda folder: change(folder / "config.json", lambda config: config.update(fields))


def _part(part: str, **fields: Any) -> Callable[[Path], object]:
    return lambda folder: change(folder / "config.json", lambda config: config[part].update(fields))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_truncate, "model.safetensors: damaged: "),
        (_lengthen, "model.safetensors: damaged: "),
        (_as_bin, "pytorch_model.bin: weights in this format are not exported (remedy: "),
        (_no_images, "has no image_mean in processor_config.json or preprocessor_config.json (remedy: "),
        (_template("{{ 'Ciao' }}"), "the chat template leaves out the question or its image (remedy: "),
        (_template("{{ messages | no_such }}"), "the chat template fails: "),
        (_config(image_grid_pinpoints=[[56, 56]]), "image_grid_pinpoints is [[56, 56]] in config.json and "),
        (_config(image_token_index=7), "<image> is token 5 in tokenizer.json and 7 in config.json (remedy: "),
        (_part("text_config", vocab_size=100), "and the model has 100 rows (remedy: "),
        (_double, "model.safetensors: holds a weight of the tower under two names (remedy: "),
        (_half, "holds weights in F8_E4M3, float32 (remedy: "),
        (_part("vision_config", model_type="siglip2_vision_model"), "is of the kind siglip2_vision_model"),
        (lambda folder: (folder / "tokenizer.json").write_text("{}"), "tokenizer.json: cannot be read: "),
        (
            lambda folder: (folder / "tokenizer_config.json").write_text("[" * 100_000),
            "tokenizer_config.json",
        ),
    ],
)
def test_what_cannot_be_mended_is_named(
    ready: Path, capsys: pytest.CaptureFixture[str], spoil: Callable[[Path], object], said: str
) -> None:
    spoil(ready)
    assert export(ready) == 1
    found = capsys.readouterr().err
    assert said in found and "(remedy: " in found and found.count("\n") == 1
    assert not ready.with_name("model-vllm").exists()


def test_a_folder_of_something_else_is_left_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = folder.with_name("tiny-vllm")
    made.mkdir()
    (made / "thesis.tex").write_text("mine")
    assert export(folder) == 1
    assert "holds something else" in capsys.readouterr().err
    assert [path.name for path in made.iterdir()] == ["thesis.tex"]


def test_another_export_at_work_is_waited_for(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with exclusive_lock(folder.parent, "busy"):
        assert export(folder) == 1
    assert "another export writes here (remedy: wait for it)" in capsys.readouterr().err


def test_there_are_no_types_for_vllm(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export(folder, "--type", "q8_0") == 2
    assert "--type: vLLM takes the weights as they are" in capsys.readouterr().err
