"""Converted folders: every layout, the weights, the settings, and what a kill leaves."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from transformers import (
    AutoModelForImageTextToText,
    AutoProcessor,
    CLIPVisionModel,
    LlamaForCausalLM,
    LlavaNextForConditionalGeneration,
)

from fixtures.upstream_checkpoint import (
    LLAMA31,
    PINPOINTS,
    VOCABULARY,
    clip,
    llama,
    upstream_weights,
    write_checkpoint,
)
from ndino.export import converter
from ndino.export.checkpoint import open_checkpoint
from ndino.export.converter import convert
from ndino.export.errors import ConversionError
from ndino.formats.prompts import LLAMA3_CHAT_TEMPLATE, Turn, encode_llama3
from tests.commands import refused
from tests.export.refusals import refusal

ROOT = Path(__file__).parents[2]
PADDED = 448


def published_weights(folder: Path) -> dict[str, torch.Tensor]:
    weights = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            weights |= {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return weights


def published_under(name: str) -> str:
    """The published name of an upstream weight, told apart from the converter's own table."""
    if "vision_tower" in name:
        return name.replace("model.vision_tower.vision_tower.", "vision_tower.")
    if "mm_projector" in name:
        return name.replace("model.mm_projector.0", "multi_modal_projector.linear_1").replace(
            "model.mm_projector.2", "multi_modal_projector.linear_2"
        )
    return "image_newline" if name == "model.image_newline" else f"language_model.{name}"


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_every_layout_keeps_every_weight(tmp_path, tower, suffix, shards, dtype):
    src = write_checkpoint(tmp_path / "src", tower, suffix=suffix, shards=shards, dtype=dtype)
    dst = convert(src, tmp_path / "dst", quiet=True)
    found, wanted = published_weights(dst), upstream_weights(llama(), dtype=dtype)
    assert set(found) == {published_under(name) for name in wanted}
    for name, value in wanted.items():
        written = found[published_under(name)]
        assert written.dtype == dtype
        if name in ("model.embed_tokens.weight", "lm_head.weight"):
            assert len(written) == PADDED
            mean = value.float().mean(dim=0).to(dtype)
            assert torch.allclose(written[VOCABULARY:].float(), mean.float(), atol=1e-6, rtol=1e-2)
            assert (written[VOCABULARY:] == written[-1]).all()
            written = written[:VOCABULARY]
        assert torch.equal(written, value), name
    assert len(list(dst.glob("*.safetensors"))) == shards
    assert json.loads((dst / "config.json").read_text())["dtype"] == str(dtype).removeprefix("torch.")
    model, report = LlavaNextForConditionalGeneration.from_pretrained(dst, output_loading_info=True)
    assert not any(report.values())
    assert model.dtype == dtype


def test_tokenizer_and_image_processor_work_as_before(converted, tower):
    model = LlavaNextForConditionalGeneration.from_pretrained(converted).eval()
    weights = upstream_weights(llama())
    language = LlamaForCausalLM(llama()).eval()
    language.load_state_dict({name: weights[name] for name in language.state_dict()})
    ids = torch.arange(5, 300)[None]
    prefix = "model.vision_tower.vision_tower."
    vision = CLIPVisionModel(clip()).eval()
    stems = {name.removeprefix("vision_model."): name for name in vision.state_dict()}
    vision.load_state_dict({stems[stem]: weights[f"{prefix}vision_model.{stem}"] for stem in stems})
    pixels = torch.randn(3, 3, 56, 56, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(model(input_ids=ids).logits[..., :VOCABULARY], language(ids).logits, atol=1e-6)
        features = vision(pixels, output_hidden_states=True).hidden_states[-2][:, 1:]
        features = features @ weights["model.mm_projector.0.weight"].T + weights["model.mm_projector.0.bias"]
        features = torch.nn.functional.gelu(features)
        features = features @ weights["model.mm_projector.2.weight"].T + weights["model.mm_projector.2.bias"]
        found = model.model.get_image_features(
            torch.stack([pixels]), torch.tensor([[56, 56]]), vision_feature_layer=-2
        ).pooler_output[0]
    # The whole image's features come first; tiles and newlines follow.
    assert torch.allclose(found[:4], features[0], atol=1e-5)
    assert torch.equal(model.model.image_newline, weights["model.image_newline"])


def test_settings_come_from_the_checkpoint_and_its_tower(converted):
    config = json.loads((converted / "config.json").read_text())
    assert config["architectures"] == ["LlavaNextForConditionalGeneration"]
    assert config["image_grid_pinpoints"] == [[height, width] for width, height in PINPOINTS]
    assert config["vision_feature_layer"] == -2
    assert config["vision_feature_select_strategy"] == "default"
    text, vision = config["text_config"], config["vision_config"]
    assert (text["rope_theta"], text["rope_scaling"]) == (500000.0, None)
    assert (text["vocab_size"], text["num_key_value_heads"], text["rms_norm_eps"]) == (PADDED, 2, 1e-5)
    assert (vision["hidden_act"], vision["num_attention_heads"], vision["patch_size"]) == ("gelu", 2, 28)
    assert "_name_or_path" not in (converted / "config.json").read_text()
    processor = AutoProcessor.from_pretrained(converted)
    assert list(processor.image_processor.image_mean) == [0.5, 0.4, 0.3]
    assert processor.image_processor.image_grid_pinpoints == config["image_grid_pinpoints"]
    assert (processor.patch_size, processor.num_additional_image_tokens) == (28, 1)


def test_conversations_are_rendered_as_in_training(converted):
    processor = AutoProcessor.from_pretrained(converted)
    tokenizer = processor.tokenizer
    assert processor.chat_template == tokenizer.chat_template == LLAMA3_CHAT_TEMPLATE
    messages = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Che cosa vedi?"}]},
        {"role": "assistant", "content": "Un gatto."},
    ]
    text = processor.apply_chat_template(messages, tokenize=False)
    turns = [Turn("user", "<image>\nChe cosa vedi?"), Turn("assistant", "Un gatto.")]
    assert tokenizer(text)["input_ids"] == encode_llama3(tokenizer, turns).input_ids
    image = Image.fromarray(np.zeros((90, 60, 3), dtype=np.uint8))
    ids = processor(images=image, text=text, return_tensors="pt")["input_ids"][0].tolist()
    assert ids.count(tokenizer.bos_token_id) == 1
    assert ids.count(tokenizer.convert_tokens_to_ids("<image>")) > 1


def test_endings_and_padding(converted):
    generation = json.loads((converted / "generation_config.json").read_text())
    tokenizer = AutoProcessor.from_pretrained(converted).tokenizer
    ends = tokenizer.convert_tokens_to_ids(["<|end_of_text|>", "<|eot_id|>"])
    assert generation["eos_token_id"] == ends
    assert tokenizer.eos_token == "<|eot_id|>"
    assert tokenizer.pad_token_id == generation["pad_token_id"] not in (0, *ends)
    settings = json.loads((converted / "tokenizer_config.json").read_text())
    assert settings["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert AutoModelForImageTextToText.from_pretrained(converted).generation_config.eos_token_id == ends


def test_a_plain_stage_ends_with_end_of_text(tmp_path, copied):
    manifest = tmp_path / "run.json"
    manifest.write_text('{"recipe": {"name": "pt", "prompt": "plain"}}')
    dst = convert(copied, tmp_path / "dst", manifest=manifest)
    assert AutoProcessor.from_pretrained(dst).tokenizer.eos_token == "<|end_of_text|>"


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_tied_embeddings_stay_tied(tmp_path, tower, suffix):
    src = write_checkpoint(tmp_path / "src", tower, text=llama(tie_word_embeddings=True), suffix=suffix)
    dst = convert(src, tmp_path / "dst")
    assert "language_model.lm_head.weight" not in published_weights(dst)
    model = LlavaNextForConditionalGeneration.from_pretrained(dst)
    assert model.lm_head.weight is model.get_input_embeddings().weight


def test_rope_scaling_of_llama_31(tmp_path, tower):
    text = llama(rope_parameters=LLAMA31)
    dst = convert(write_checkpoint(tmp_path / "src", tower, text=text), tmp_path / "dst")
    written = json.loads((dst / "config.json").read_text())["text_config"]
    assert written["rope_theta"] == 500000.0
    assert written["rope_scaling"] == {key: LLAMA31[key] for key in LLAMA31 if key != "rope_theta"}
    read = LlavaNextForConditionalGeneration.from_pretrained(dst).config.text_config
    assert read.rope_parameters == LLAMA31


def test_a_tokenizer_with_image_and_pad_tokens_keeps_its_ids(tmp_path, copied):
    # As a stage of ours leaves it: the embeddings have grown already.
    from fixtures.tiny import tiny_tokenizer

    tiny_tokenizer().save_pretrained(copied)
    dst = convert(copied, tmp_path / "dst")
    tokenizer = AutoProcessor.from_pretrained(dst).tokenizer
    assert tokenizer.get_vocab() == tiny_tokenizer().get_vocab()


def test_the_hub_layout_of_a_model_trained_elsewhere(tmp_path, tower):
    # lmms-lab's: a hub name for the tower, bf16 shards, no manifest; offline, the folder is given.
    name = "openai/clip-vit-large-patch14-336"
    src = write_checkpoint(tmp_path / "src", name, dtype=torch.bfloat16, shards=4)
    config = json.loads((src / "config.json").read_text())
    config |= {"model_type": "llava", "image_crop_resolution": 224, "image_split_resolution": 224}
    del config["mlp_bias"]  # younger than that checkpoint
    (src / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConversionError, match=f"vision tower {name}: not a local folder"):
        convert(src, tmp_path / "dst")
    dst = convert(src, tmp_path / "dst", vision_tower=tower)
    assert len(list(dst.glob("model-*-of-00004.safetensors"))) == 4
    assert LlavaNextForConditionalGeneration.from_pretrained(dst).dtype == torch.bfloat16


def test_the_recorded_tower_may_be_relative_to_the_checkpoint(tmp_path, tower):
    src = write_checkpoint(tmp_path / "src", "clip")
    (src / "clip").symlink_to(tower)
    assert convert(src, tmp_path / "dst").is_dir()


def test_buffers_of_old_versions_are_left_out(tmp_path, copied):
    from safetensors.torch import load_file, save_file

    path = copied / "model.safetensors"
    buffers = {
        "model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4),
        "model.vision_tower.vision_tower.vision_model.embeddings.position_ids": torch.ones(1, 5),
    }
    save_file({**load_file(path), **buffers}, path)
    assert not any("inv_freq" in name for name in published_weights(convert(copied, tmp_path / "dst")))


def test_an_existing_folder_is_not_overwritten(tmp_path, copied):
    (tmp_path / "dst").mkdir()
    with pytest.raises(ConversionError, match="dst: already exists"):
        convert(copied, tmp_path / "dst")


def test_a_link_to_nowhere_is_named_before_anything_is_written(tmp_path, copied):
    gone = tmp_path / "gone"
    (tmp_path / "dst").symlink_to(gone)
    with pytest.raises(ConversionError, match="dst: already exists"):
        convert(copied, tmp_path / "dst")
    (tmp_path / "dst").unlink()
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        content = (copied / name).read_bytes()
        (copied / name).unlink()
        (copied / name).symlink_to(gone)
        assert name in (line := refusal(copied)) and "(remedy: " in line
        (copied / name).unlink()
        (copied / name).write_bytes(content)


def test_what_a_killed_conversion_left_does_not_count_as_missing_room(tmp_path, copied, monkeypatch):
    left = tmp_path / "dst.partial"
    left.mkdir()
    (left / "model.safetensors").touch()
    room = converter.SPARE_BYTES * 2
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(
        converter.shutil, "disk_usage", lambda _: usage._replace(free=0 if left.exists() else room)
    )
    convert(copied, tmp_path / "dst")


@pytest.mark.system
@pytest.mark.parametrize("kilobytes", [64, 484], ids=["within the weights", "behind them"])
def test_a_disk_that_fills_is_one_line(tmp_path, copied, monkeypatch, capsys, kilobytes):
    """Checked beforehand, it may still be filled by others, or a quota."""
    monkeypatch.setattr(converter, "_require_room", lambda *_: None)
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        line = refused(capsys, "convert", copied, small / "dst")
        assert f"{small / 'dst'}: the disk is full (remedy: free some space" in line
        assert not [*small.iterdir()], "what was written is removed"
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_preprocessing_for_another_size_is_refused_before_weights_are_written(tmp_path, tower, monkeypatch):
    shutil.copytree(tower, tmp_path / "clip")
    path = tmp_path / "clip" / "preprocessor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "size": 112, "crop_size": 112}))
    src = write_checkpoint(tmp_path / "src", tmp_path / "clip")
    monkeypatch.setattr(converter, "_write_weights", None)
    assert "resizes images to 112, but the tower takes 56 pixels" in refusal(src)


def test_a_killed_conversion_leaves_nothing_that_looks_complete(tmp_path, tower):
    src = write_checkpoint(
        tmp_path / "src", tower, text=llama(hidden_size=512, intermediate_size=8192, num_hidden_layers=8)
    )
    dst = tmp_path / "dst"
    command = [sys.executable, "convert_llava_weights.py", str(src), str(dst)]
    running = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("dst*/*.safetensors")) and time.monotonic() < deadline:
        time.sleep(0.002)
    running.kill()
    running.wait()
    assert not dst.exists() and (tmp_path / "dst.partial").exists()
    convert(src, dst)
    assert not (tmp_path / "dst.partial").exists()
    assert len(published_weights(dst)) == len(open_checkpoint(src).tensors)


@pytest.mark.parametrize(("suffix", "shards"), [("safetensors", 1), ("bin", 4)])
def test_memory_is_that_of_a_tensor_or_a_mapped_shard(tmp_path, tower, suffix, shards):
    wide = llama(hidden_size=1024, intermediate_size=4096, num_hidden_layers=6, vocab_size=4096)
    made = {"suffix": suffix, "shards": shards, "dtype": torch.bfloat16}
    large = write_checkpoint(tmp_path / "large", tower, text=wide, **made)
    write_checkpoint(tmp_path / "small", tower, **made)
    script = """
import re, sys
from pathlib import Path
from ndino.export.converter import convert
folder = Path(sys.argv[1])
# Of this program alone: what getrusage says begins with the peak of the process that started it.
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024
convert(folder / "small", folder / "small-out")
before = peak()
convert(folder / "large", folder / "large-out")
print(peak() - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, check=True, capture_output=True, text=True
    )
    sizes = [path.stat().st_size / 2**20 for path in large.glob(f"*.{suffix}")]
    allowed = 60 + (max(sizes) if suffix == "bin" else 0)
    assert sum(sizes) > 180 and float(done.stdout) < allowed < sum(sizes), (sizes, done.stdout)
