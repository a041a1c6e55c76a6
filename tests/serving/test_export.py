"""``ndino export``: reruns, kills, locks, full disks, and what cannot be exported."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from gguf import GGUFWriter
from safetensors.torch import load_file, save_file

from ndino.cli import main
from ndino.common.files import sha256_of
from ndino.common.locks import exclusive_lock
from ndino.serving.gguf import container

FILES = ["Modelfile", "export.json", "language-model-f16.gguf", "mmproj-f16.gguf"]


@pytest.fixture
def model(tmp_path, tiny_model_folder) -> Path:
    """A tiny model of the test's own."""
    return Path(shutil.copytree(tiny_model_folder, tmp_path / "it" / "model"))


def export(model: Path, *options: str) -> int:
    return main(["export", str(model), "--to", "gguf", *options])


def said_by(capsys: pytest.CaptureFixture[str]) -> str:
    said = capsys.readouterr().err
    assert said.startswith("ndino export: ") and said.count("\n") == 1 and said.count("(remedy: ") == 1, said
    return said


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def change(path: Path, **fields: object) -> None:
    """Change fields of a JSON file; ``a__b`` is b in a."""
    content = json.loads(path.read_text())
    for name, value in fields.items():
        *outer, last = name.split("__")
        part = content
        for key in outer:
            part = part[key]
        part[last] = value
    path.write_text(json.dumps(content))


def test_what_is_printed_runs_what_was_written(model, capsys):
    benchmarks = model.parents[1] / "data" / "benchmarks"
    benchmarks.mkdir(parents=True)
    assert export(model) == 0
    folder = model.with_name("model-gguf-f16")
    assert names(folder) == FILES
    said = capsys.readouterr().out
    assert f"-m {folder}/language-model-f16.gguf --mmproj {folder}/mmproj-f16.gguf" in said
    assert f"ollama create it -f {folder}/Modelfile" in said  # named as the folder that holds model/
    assert "--jinja --alias it\n" in said
    assert f"make eval ENDPOINT=http://127.0.0.1:8080/v1 MODEL=it DATA={benchmarks}\n" in said
    record = json.loads((folder / "export.json").read_text())
    assert record["files"] == {name: sha256_of(folder / name) for name in FILES if name != "export.json"}


def test_a_name_is_one_that_every_server_takes(model, capsys):
    odd = model.parent.rename(model.parent.with_name("Città, = 1.0")) / "model"
    for format_ in ("gguf", "vllm"):
        assert main(["export", str(odd), "--to", format_]) == 0
        assert "MODEL=citta-1.0 DATA=data/benchmarks\n" in capsys.readouterr().out


@pytest.mark.parametrize("format_", ["gguf", "vllm"])
@pytest.mark.parametrize("place", ["", "new/folder"])
def test_a_file_where_the_folder_would_be(model, capsys, tmp_path, format_, place):
    (tmp_path / "notes").write_text("")
    assert main(["export", str(model), "--to", format_, "--out", str(tmp_path / "notes" / place)]) == 2
    assert f"{tmp_path}/notes: is a file, not a folder (remedy: " in said_by(capsys)


def test_a_rerun_writes_only_what_is_not_whole(model, capsys):
    assert export(model) == 0
    folder = model.with_name("model-gguf-f16")
    before = {name: (folder / name).stat().st_mtime_ns for name in FILES}
    digests = {name: sha256_of(folder / name) for name in FILES}
    capsys.readouterr()
    assert export(model) == 0
    assert "is whole: nothing to do" in capsys.readouterr().out
    assert {name: (folder / name).stat().st_mtime_ns for name in FILES} == before
    with (folder / "mmproj-f16.gguf").open("r+b") as file:
        file.truncate(1000)
    (folder / "Modelfile").unlink()
    assert export(model) == 0
    assert "written: mmproj-f16.gguf, Modelfile\n" in capsys.readouterr().out
    assert {name: sha256_of(folder / name) for name in FILES} == digests
    assert (folder / "language-model-f16.gguf").stat().st_mtime_ns == before["language-model-f16.gguf"]


@pytest.mark.parametrize("what", ["weights", "type", "files", "vllm"])
def test_a_folder_with_something_else_is_left_as_it_is(model, capsys, tmp_path, what):
    out = tmp_path / "out"
    kind = "f16"
    if what == "files":
        out.mkdir()
        (out / "photo.jpg").write_bytes(b"")
    elif what == "vllm":
        out.mkdir()
        (out / "export.json").write_text('{"format": "vllm"}')
    else:
        assert export(model, "--out", str(out)) == 0
        if what == "weights":
            weights = load_file(model / "model.safetensors")
            save_file(weights | {"image_newline": weights["image_newline"] + 1}, model / "model.safetensors")
        else:
            kind = "q8_0"
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    capsys.readouterr()
    assert export(model, "--out", str(out), "--type", kind) == 1
    assert str(out) in said_by(capsys)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_two_exports_to_one_folder(model, capsys, tmp_path):
    (tmp_path / "out").mkdir()
    with exclusive_lock(tmp_path / "out", "busy"):
        assert export(model, "--out", str(tmp_path / "out")) == 1
    assert "another export writes to it" in said_by(capsys)
    assert not names(tmp_path / "out")


KILLED = """
import os, signal, sys
from ndino.serving.gguf import container
real, left = container.Entry.data, [int(sys.argv[1])]
def data(entry):
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(entry)
container.Entry.data = data
from ndino.cli import main
main(["export", sys.argv[2], "--to", "gguf"])
"""


def test_a_kill_leaves_no_half_file_and_a_rerun_resumes(model, capsys):
    """In the second file: the first one is kept, and what the killed export left is removed."""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", KILLED, "30", str(model)], cwd=root, capture_output=True)
    assert done.returncode == -signal.SIGKILL
    folder = model.with_name("model-gguf-f16")
    assert [name for name in names(folder) if not name.startswith(".")] == FILES[1:3]
    assert [name for name in names(folder) if name.startswith(".mmproj-f16.gguf.")]
    assert export(model) == 0
    assert "written: mmproj-f16.gguf, Modelfile\n" in capsys.readouterr().out
    assert names(folder) == FILES


def test_a_full_disk(model, capsys, monkeypatch):
    written = []

    def full(writer: GGUFWriter, tensor: np.ndarray) -> None:
        written.append(tensor)
        if len(written) > 5:
            with open("/dev/full", "wb") as file:
                tensor.tofile(file)
        real(writer, tensor)

    real = GGUFWriter.write_tensor_data
    monkeypatch.setattr(GGUFWriter, "write_tensor_data", full)
    assert export(model) == 1
    folder = model.with_name("model-gguf-f16")
    assert f"{folder}: No space left on device (remedy: make room on that disk)" in said_by(capsys)
    assert not names(folder)


def test_tensors_are_converted_one_at_a_time(model, monkeypatch):
    """No tensor is read before the one in front of it has been written."""
    events: list[str] = []
    read, written = container.Entry.data, container.GGUFWriter.write_tensor_data
    monkeypatch.setattr(container.Entry, "data", lambda entry: events.append("read") or read(entry))
    monkeypatch.setattr(
        container.GGUFWriter,
        "write_tensor_data",
        lambda writer, data: events.append("written") or written(writer, data),
    )
    assert export(model) == 0
    assert events == ["read", "written"] * (len(events) // 2) and len(events) == 2 * (21 + 26)


def test_rows_that_are_no_multiple_of_a_block_stay_in_16_bits():
    assert container.matrix_type((3, 33), container.Q8_0) == container.F16
    assert container.matrix_type((3, 64), container.Q8_0) == container.Q8_0


def test_a_quantisation_that_is_not_installed(model, capsys, monkeypatch):
    monkeypatch.setattr("ndino.serving.gguf.quantise.find_spec", lambda name: None)
    assert export(model, "--type", "q4_k_m") == 1
    assert "llama-cpp-python" in said_by(capsys)
    assert not model.with_name("model-gguf-q4_k_m").exists()


def test_a_type_that_there_is_not(model, capsys):
    with pytest.raises(SystemExit) as stopped:
        export(model, "--type", "q2_k")
    assert stopped.value.code == 2 and "f16" in capsys.readouterr().err


def bpe_with(**changes: object):
    return lambda folder: change(folder / "tokenizer.json", **changes)


def config_with(**changes: object):
    return lambda folder: change(folder / "config.json", **changes)


def processor_with(**changes: object):
    return lambda folder: change(folder / "processor_config.json", **changes)


def weights_with(name: str, change_of=lambda value: None):
    def spoil(folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        value = change_of(weights.pop(name))
        save_file(weights if value is None else weights | {name: value}, folder / "model.safetensors")

    return spoil


def filled(value: float):
    return lambda tensor: torch.full_like(tensor, value)


Q = "language_model.model.layers.0.self_attn.q_proj"
REFUSED = {
    "a tokenizer of another kind": (bpe_with(model__type="Unigram"), "is a Unigram"),
    "byte fallback": (bpe_with(model__byte_fallback=True), "byte fallback"),
    "a normalizer": (bpe_with(normalizer={"type": "NFKC"}), "changes the text first (NFKC)"),
    "a space in front": (bpe_with(pre_tokenizer__add_prefix_space=True), "puts a space in front"),
    "another way to split": (
        bpe_with(
            pre_tokenizer={
                "type": "Sequence",
                "pretokenizers": [
                    {"type": "Split", "pattern": {"Regex": "."}, "behavior": "Isolated", "invert": False},
                    {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
                ],
            }
        ),
        "splits text in a way that llama.cpp does not have",
    ),
    "no tokenizer.json": (lambda folder: (folder / "tokenizer.json").unlink(), "has no tokenizer.json"),
    "no chat template": (lambda folder: (folder / "chat_template.jinja").unlink(), "has no chat template"),
    "a broken chat template": (
        lambda folder: (folder / "chat_template.jinja").write_text("{% for %}"),
        "the chat template fails",
    ),
    "another language model": (config_with(text_config__model_type="gemma"), "of the type gemma"),
    "another activation": (config_with(text_config__hidden_act="gelu"), "no hidden_act gelu"),
    "another rotary embedding": (
        config_with(text_config__rope_parameters={"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}),
        "no rope_type dynamic",
    ),
    "another tower": (config_with(vision_config__model_type="siglip2_vision_model"), "siglip2_vision_model"),
    "another tower's activation": (config_with(vision_config__hidden_act="relu"), "hidden_act relu"),
    "several layers": (config_with(vision_feature_layer=[-2, -1]), "is no single layer"),
    "the class token": (config_with(vision_feature_select_strategy="full"), "select_strategy full"),
    "another projector": (config_with(projector_hidden_act="relu"), "projector_hidden_act relu"),
    "another resize": (processor_with(image_processor__resample=2), "no resample 2"),
    "another size": (
        processor_with(image_processor__size={"shortest_edge": 28}),
        "size is {'shortest_edge': 28}",
    ),
    "no normalisation": (processor_with(image_processor__do_normalize=False), "do_normalize False"),
    "no mean": (processor_with(image_processor={}), "has no image_mean"),
    "a tokenizer.json without its model": (
        lambda folder: (folder / "tokenizer.json").write_text("{}"),
        "a setting is missing or of another kind, 'model'",
    ),
    "a setting of another kind": (
        processor_with(image_processor__image_mean=["half"]),
        "a setting is missing or of another kind",
    ),
    "a missing weight": (weights_with("image_newline"), "has no weight image_newline"),
    "a missing layer": (weights_with(f"{Q}.weight"), f"has no weight {Q}.weight"),
    "a foreign weight": (
        lambda folder: add_weight(folder, "language_model.model.layers.0.mlp.experts.0.weight"),
        "is no weight of a dense LLaMA or Qwen",
    ),
    "an infinite weight": (
        weights_with(f"{Q}.weight", filled(float("inf"))),
        "has a value that is no number",
    ),
    "a weight too large": (weights_with(f"{Q}.weight", filled(1e5)), "has a value beyond 65504"),
    "an embedding of another size": (
        config_with(text_config__vocab_size=512),
        "is not of the size that config.json gives it",
    ),
    "a token beyond the rows": (
        bpe_with(added_tokens=[{"id": 9999, "content": "<x>", "special": True}]),
        "has the id 9999",
    ),
}


def add_weight(folder: Path, name: str) -> None:
    weights = load_file(folder / "model.safetensors")
    save_file(weights | {name: torch.ones(4, 4)}, folder / "model.safetensors")


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_exported_is_named_and_nothing_is_written(case, model, capsys):
    spoil, words = REFUSED[case]
    spoil(model)
    assert export(model) == 1
    assert words in said_by(capsys)
    folder = model.with_name("model-gguf-f16")
    assert not folder.exists() or not names(folder)


def test_weights_that_are_no_safetensors(model, capsys):
    torch.save({}, model / "pytorch_model.bin")
    (model / "model.safetensors").unlink()
    assert export(model) == 1
    assert "weights in this format are not exported" in said_by(capsys)
