"""What cannot be converted is named: the key, the field or the file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from fixtures.upstream_checkpoint import save_weights, upstream_weights, write_checkpoint
from ndino.export import ConversionError, convert


def change_config(folder: Path, **fields) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text()) | fields
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not ...}))


def change_weights(folder: Path, **weights) -> None:
    path = folder / "model.safetensors"
    changed = load_file(path) | weights
    save_file({name: value for name, value in changed.items() if value is not None}, path)


def refusal(src: Path, **options) -> str:
    dst = src.parent / "dst"
    with pytest.raises(ConversionError) as caught:
        convert(src, dst, **options)
    assert not dst.exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "key",
    [
        "model.image_newline",
        "model.layers.1.mlp.up_proj.weight",
        "lm_head.weight",
        "model.embed_tokens.weight",
    ],
)
def test_missing_key(copied, key):
    change_weights(copied, **{key: None})
    assert f"has no {key}" in refusal(copied)


def test_many_missing_keys_are_counted(copied):
    names = [name for name in load_file(copied / "model.safetensors") if "layers.0" in name]
    change_weights(copied, **dict.fromkeys(names))
    assert f"and {len(names) - 5} more" in refusal(copied)


@pytest.mark.parametrize("key", ["model.vision_resampler.query", "model.layers.7.mlp.up_proj.weight"])
def test_unexpected_key(copied, key):
    change_weights(copied, **{key: torch.ones(2)})
    assert f"has unexpected {key}" in refusal(copied)


def test_wrong_shape(copied):
    change_weights(copied, **{"model.norm.weight": torch.ones(3)})
    assert "model.safetensors: model.norm.weight is [3], but" in refusal(copied)


def test_quantised_weights(copied):
    change_weights(copied, **{"model.norm.weight": torch.ones(32, dtype=torch.int8)})
    assert "model.norm.weight is of type I8" in refusal(copied)


@pytest.mark.parametrize(
    "field",
    [
        "rope_theta",
        "vocab_size",
        "rms_norm_eps",
        "mm_vision_tower",
        "mm_vision_select_layer",
        "image_grid_pinpoints",
    ],
)
def test_missing_config_field(copied, field):
    change_config(copied, **{field: ...})
    assert f"config.json: the field {field} is missing" in refusal(copied)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("mm_projector_type", "linear"),
        ("mm_patch_merge_type", "flat"),
        ("image_aspect_ratio", "anyres_max_9"),
        ("mm_vision_select_feature", "cls_patch"),
        ("mm_resampler_type", "perceiver"),
        ("mm_use_im_start_end", True),
    ],
)
def test_what_hugging_face_has_no_counterpart_of(copied, field, value):
    change_config(copied, **{field: value})
    assert f"{field} is {value}" in refusal(copied)


def test_another_kind_of_model(copied):
    change_config(copied, model_type="llava_qwen", architectures=["LlavaQwenForCausalLM"])
    assert "model_type is llava_qwen" in refusal(copied)


@pytest.mark.parametrize("value", ["elsewhere", [], [[112]], [[0, 56]], [[112, "56"]], [[100, 56]], 7])
def test_unusable_pinpoints(copied, value):
    change_config(copied, image_grid_pinpoints=value)
    assert "config.json: image_grid_pinpoints" in refusal(copied)


@pytest.mark.parametrize("layer", ["-2", -9, 5])
def test_unusable_layer(copied, layer):
    change_config(copied, mm_vision_select_layer=layer)
    assert f"mm_vision_select_layer is {layer}" in refusal(copied)


def test_unknown_tower(copied, tmp_path):
    other = tmp_path / "siglip"
    other.mkdir()
    (other / "config.json").write_text('{"model_type": "siglip"}')
    change_config(copied, mm_vision_tower=str(other))
    assert f"{other}: unknown tower, a siglip model" in refusal(copied)
    change_config(copied, mm_vision_tower="open_clip_hub:x")
    assert "unknown tower open_clip_hub:x" in refusal(copied)
    change_config(copied, mm_vision_tower="/nowhere/clip")
    assert "/nowhere/clip/config.json: no such file of the vision tower (give its folder with" in refusal(
        copied
    )


def test_a_tower_of_other_size(copied, tower, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    for name, changes in (("config.json", {"patch_size": 14}), ("preprocessor_config.json", {})):
        (other / name).write_text(json.dumps(json.loads((tower / name).read_text()) | changes))
    assert "patch_embedding.weight is" in refusal(copied, vision_tower=other)
    changes = {"size": 224, "crop_size": 224}
    (other / "config.json").write_text((tower / "config.json").read_text())
    (other / "preprocessor_config.json").write_text(
        json.dumps(json.loads((tower / "preprocessor_config.json").read_text()) | changes)
    )
    assert "preprocessor_config.json makes images of 224" in refusal(copied, vision_tower=other)


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
@pytest.mark.parametrize("shards", [1, 2])
@pytest.mark.parametrize("left", [0, 7, 1000, -10])
def test_truncated_shard(tmp_path, tower, suffix, shards, left):
    src = write_checkpoint(tmp_path / "src", tower, suffix=suffix, shards=shards)
    last = sorted(src.glob(f"*model*.{suffix}"))[-1]
    last.write_bytes(last.read_bytes()[:left])
    assert f"{last}: is cut short or damaged" in refusal(src)


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_missing_shard(tmp_path, tower, suffix):
    src = write_checkpoint(tmp_path / "src", tower, suffix=suffix, shards=3)
    gone = sorted(src.glob(f"*model-*.{suffix}"))[1]
    gone.unlink()
    assert f"{gone}: is missing, though" in refusal(src)


def test_a_shard_that_came_twice(tmp_path, tower):
    src = write_checkpoint(tmp_path / "src", tower, shards=2)
    first, second = sorted(src.glob("model-*.safetensors"))
    second.write_bytes(first.read_bytes())
    assert f"{second}: has " in refusal(src)


def test_a_bin_is_never_unpickled_as_code(tmp_path, tower):
    src = write_checkpoint(tmp_path / "src", tower)
    (src / "model.safetensors").unlink()
    struck = tmp_path / "struck"

    class Bomb:
        def __reduce__(self):
            return (Path.touch, (struck,))

    torch.save({"model.norm.weight": Bomb()}, src / "pytorch_model.bin")
    assert "pytorch_model.bin: is cut short or damaged, or no file of weights alone" in refusal(src)
    assert not struck.exists()


def test_folders_without_a_model(tmp_path, copied, tower):
    assert "hf download" in refusal(tmp_path / "nothing")
    (copied / "model.safetensors").unlink()
    # A trainer's own state is no weights.
    torch.save({"a": torch.ones(1)}, copied / "training_args.bin")
    assert "has no weights (looked for model.safetensors" in refusal(copied)
    torch.save({"model.mm_projector.0.weight": torch.ones(1)}, copied / "mm_projector.bin")
    assert "holds a projector alone" in refusal(copied)
    save_weights(copied, upstream_weights_small(), suffix="bin", shards=1)
    assert "has no model.embed_tokens.weight" in refusal(copied)


def upstream_weights_small() -> dict[str, torch.Tensor]:
    from fixtures.upstream_checkpoint import llama

    return {name: value for name, value in upstream_weights(llama()).items() if "projector" in name}


def test_unreadable_settings(copied):
    (copied / "config.json").write_text("{")
    assert "config.json: cannot be read as JSON" in refusal(copied)
    (copied / "config.json").unlink()
    assert "config.json: no such file" in refusal(copied)


def test_another_tokenizer(copied):
    path = copied / "tokenizer.json"
    text = path.read_text()
    path.write_text(text.replace("<|eot_id|>", "<|other|>"))
    assert "tokenizer.json: has no token <|eot_id|>" in refusal(copied)
    path.unlink()
    assert "tokenizer.json: no such file" in refusal(copied)


def test_a_manifest_that_is_not_there(copied, tmp_path):
    assert "no.json: no such file" in refusal(copied, manifest=tmp_path / "no.json")
