from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub.utils import filter_repo_objects
from safetensors.torch import load_file, save_file
from transformers import LlavaNextForConditionalGeneration

from fixtures.tiny import write_tiny_model
from ndino.common import files
from ndino.common.errors import UsageError
from ndino.evaluation import models
from ndino.evaluation.errors import SetupError
from ndino.evaluation.models import HF, Backend, find_model, parse_backend, parse_model
from tests.surroundings import open_folder, user_without_rights


@pytest.fixture
def copy(tiny_model_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model_folder, tmp_path / "copy"))


@pytest.mark.parametrize(
    ("text", "name", "source"),
    [
        ("swap-uniba/LLaVA-NDiNO_pt", "LLaVA-NDiNO_pt", "swap-uniba/LLaVA-NDiNO_pt"),
        ("PT+IT=runs/demo/x/model", "PT+IT", "runs/demo/x/model"),
        ("there/mlp-pt/model", "mlp-pt", "there/mlp-pt/model"),
        ("there/mlp-pt", "mlp-pt", "there/mlp-pt"),
        ("there/a=b", "a=b", "there/a=b"),
    ],
)
def test_a_model_is_named_by_hand_or_after_its_folder(text, name, source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("there/mlp-pt/model", "there/a=b"):
        Path(folder).mkdir(parents=True)
    assert parse_model(text) == (name, source)


@pytest.mark.parametrize("text", ["", "it="])
def test_nothing_is_no_model(text):
    with pytest.raises(UsageError, match="names no model"):
        parse_model(text)


def test_backends():
    assert parse_backend("hf") == Backend("hf")
    assert parse_backend("vllm,tensor_parallel_size=2") == Backend("vllm", "tensor_parallel_size=2")
    assert parse_backend("lmms:llava_hf,device=cpu") == Backend("llava_hf", "device=cpu")
    for wrong in ("", "lmms:", "transformers"):
        with pytest.raises(UsageError, match="unknown backend"):
            parse_backend(wrong)


def fingerprint(folder: Path, backend: Backend = HF) -> str:
    return find_model("x", str(folder), backend).fingerprint


def test_the_fingerprint_is_that_of_weights_and_settings(tiny_model_folder, copy, tmp_path):
    assert fingerprint(copy) == fingerprint(tiny_model_folder)
    (copy / "notes.md").write_text("not part of the model")
    assert fingerprint(copy) == fingerprint(tiny_model_folder)
    assert fingerprint(write_tiny_model(tmp_path / "other", seed=1)) != fingerprint(copy)
    (copy / "chat_template.jinja").write_text("another prompt")
    assert fingerprint(copy) != fingerprint(tiny_model_folder)


def test_large_weights_that_differ_in_image_newline_alone_are_two_models(copy, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(files, "REMEMBERED_BYTES", 1000)
    monkeypatch.setattr(files, "SETTLED_NANOSECONDS", -1)
    before = find_model("x", str(copy))
    weights = load_file(copy / "model.safetensors")
    (newline,) = [name for name in weights if name.endswith("image_newline")]
    weights[newline][0] += 1
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    after = find_model("x", str(copy))
    assert before.fingerprint != after.fingerprint
    assert {part for part in before.parts if before.parts[part] != after.parts[part]} == {"weights"}


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("config.json", "config"),
        ("generation_config.json", "config"),
        ("processor_config.json", "processor"),
        ("preprocessor_config.json", "processor"),
        ("chat_template.jinja", "chat template"),
        ("tokenizer_config.json", "tokenizer"),
        ("special_tokens_map.json", "tokenizer"),
        ("model.safetensors.index.json", "weights"),
    ],
)
def test_each_file_belongs_to_one_part(copy, name, part):
    before = find_model("x", str(copy), Backend("llava_hf"))
    content = json.loads((copy / name).read_text()) if (copy / name).exists() and name[-4:] == "json" else {}
    (copy / name).write_text(json.dumps(content | {"weight_map": {}}, indent=1))
    after = find_model("x", str(copy), Backend("llava_hf"))
    assert {p for p in after.parts if before.parts.get(p) != after.parts[p]} == {part}


@pytest.mark.parametrize(
    ("missing", "named"),
    [
        ("config.json", "config.json"),
        ("tokenizer*", "tokenizer"),
        ("processor_config.json", "processor"),
        ("model.safetensors", "weights"),
    ],
)
def test_an_incomplete_folder_is_rejected_and_the_missing_file_named(copy, missing, named):
    for path in copy.glob(missing):
        path.unlink()
    with pytest.raises(SetupError, match=f"{copy}: has no {named}"):
        find_model("x", str(copy), HF)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tokenizer.json", b"{"),
        ("processor_config.json", b"\xff\xfe"),
        ("config.json", b"{"),
        ("model.safetensors", b""),
        ("model.safetensors", None),
        ("model.safetensors.index.json", b"[]"),
    ],
)
@pytest.mark.parametrize("backend", [HF, Backend("llava_hf")], ids=str)
def test_a_broken_file_is_named_before_weights_are_read(copy, name, content, backend):
    half = (copy / "model.safetensors").stat().st_size // 2
    (copy / name).write_bytes((copy / name).read_bytes()[:half] if content is None else content)
    with pytest.raises(SetupError, match=rf"{copy}: {name} is broken: .*\(remedy: save or copy"):
        find_model("x", str(copy), backend)


def test_a_run_folder_in_place_of_its_model_is_recognised(copy, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    copy.rename(run / "model")
    with pytest.raises(SetupError, match=rf"{run}: has no config.json \(remedy: give {run / 'model'}\)"):
        find_model("x", str(run), HF)


@pytest.mark.parametrize("closed", ["model.safetensors", ""])
def test_what_may_not_be_read_is_not_called_broken(tiny_model_folder, closed):
    script = """
import sys
from ndino.evaluation.models import find_model
try:
    find_model("x", sys.argv[1])
except ValueError as error:
    print(error)
"""
    with open_folder("copy") as folder:
        shutil.copytree(tiny_model_folder, folder, dirs_exist_ok=True)
        folder.chmod(0o755)
        (folder / closed).chmod(0)
        command = user_without_rights().command(sys.executable, "-c", script, folder)
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        remedy = "(remedy: ask the owner for chmod -R a+rX, or choose another place)"
        assert done.stdout.strip() == f"{folder / closed}: Permission denied {remedy}"


def test_of_weights_in_parts_all_must_be_there_and_all_come_from_the_hub(tiny_model_folder, tmp_path):
    parts = tmp_path / "parts"
    LlavaNextForConditionalGeneration.from_pretrained(tiny_model_folder).save_pretrained(
        parts, max_shard_size="200kB"
    )
    for pattern in ("tokenizer*", "processor*"):
        for path in tiny_model_folder.glob(pattern):
            shutil.copy(path, parts)
    names = {path.name for path in parts.iterdir()}
    assert "model.safetensors.index.json" in names and len([*parts.glob("*.safetensors")]) > 1
    assert set(filter_repo_objects(names, allow_patterns=list(models.FILES))) == names
    assert fingerprint(parts)
    last = sorted(parts.glob("*.safetensors"))[-1]
    last.unlink()
    with pytest.raises(SetupError, match=f"has no {last.name}, which model.safetensors.index.json names"):
        find_model("x", str(parts), HF)


def test_other_architectures_are_rejected(copy, tmp_path):
    (copy / "config.json").write_text('{"model_type": "llava"}')
    with pytest.raises(SetupError, match=r"is a vision-language model \(llava\), not a LLaVA-NeXT"):
        find_model("x", str(copy), HF)
    assert fingerprint(copy, Backend("llava_hf"))
    (copy / "config.json").write_text("[]")
    with pytest.raises(SetupError, match=r"config\.json: is not a JSON object"):
        find_model("x", str(copy), HF)
    with pytest.raises(UsageError, match="no such model folder"):
        find_model("x", str(copy / "config.json"), HF)
    with pytest.raises(UsageError, match="no such model folder"):
        find_model("x", str(tmp_path / "nowhere"), HF)
    with pytest.raises(UsageError, match="no such folder, nor on the hub"):
        find_model("x", "nobody/nothing", HF)
    # Other backends may know models that are no folder at all.
    assert find_model("x", "gpt", Backend("openai")).fingerprint == "name:gpt"
