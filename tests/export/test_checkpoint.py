"""Reading a checkpoint: damaged, missing and foreign files are named."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fixtures.upstream_checkpoint import save_weights, upstream_weights, write_checkpoint
from tests.export.refusals import change_weights, refusal


def test_quantised_weights(copied):
    change_weights(copied, **{"model.norm.weight": torch.ones(32, dtype=torch.int8)})
    assert "model.norm.weight is of type I8" in refusal(copied)


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
@pytest.mark.parametrize("shards", [1, 2])
@pytest.mark.parametrize("left", [0, 7, 1000, -10])
def test_truncated_shard(tmp_path, tower, suffix, shards, left):
    src = write_checkpoint(tmp_path / "src", tower, suffix=suffix, shards=shards)
    last = sorted(src.glob(f"*model*.{suffix}"))[-1]
    last.write_bytes(last.read_bytes()[:left])
    assert f"{last}: is truncated or damaged" in refusal(src)


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_missing_shard(tmp_path, tower, suffix):
    src = write_checkpoint(tmp_path / "src", tower, suffix=suffix, shards=3)
    gone = sorted(src.glob(f"*model-*.{suffix}"))[1]
    gone.unlink()
    assert f"{gone}: is missing, but" in refusal(src)


def test_a_weight_in_two_shards(tmp_path, tower):
    src = write_checkpoint(tmp_path / "src", tower, shards=2)
    first, second = sorted(src.glob("model-*.safetensors"))
    second.write_bytes(first.read_bytes())
    message = refusal(src)
    assert message.startswith(f"{second}: ") and f"is also in {first.name}" in message


def test_a_bin_is_never_unpickled_as_code(tmp_path, tower):
    src = write_checkpoint(tmp_path / "src", tower)
    (src / "model.safetensors").unlink()
    struck = tmp_path / "struck"

    class Bomb:
        def __reduce__(self):
            return (Path.touch, (struck,))

    torch.save({"model.norm.weight": Bomb()}, src / "pytorch_model.bin")
    assert "pytorch_model.bin: is truncated or damaged, or contains more than weights" in refusal(src)
    assert not struck.exists()


def test_folders_without_a_model(tmp_path, copied, tower):
    assert "hf download" in refusal(tmp_path / "nothing")
    (copied / "model.safetensors").unlink()
    # A trainer's saved state does not count as weights.
    torch.save({"a": torch.ones(1)}, copied / "training_args.bin")
    assert "has no weights (remedy: fetch or save it whole, with model.safetensors" in refusal(copied)
    torch.save({"model.mm_projector.0.weight": torch.ones(1)}, copied / "mm_projector.bin")
    assert "contains only a projector" in refusal(copied)
    save_weights(copied, upstream_weights_small(), suffix="bin", shards=1)
    assert "has no model.embed_tokens.weight" in refusal(copied)


def upstream_weights_small() -> dict[str, torch.Tensor]:
    from fixtures.upstream_checkpoint import llama

    return {name: value for name, value in upstream_weights(llama()).items() if "projector" in name}


def test_unreadable_settings(copied):
    (copied / "config.json").write_text("{")
    assert "config.json: broken JSON: " in refusal(copied)
    (copied / "config.json").unlink()
    assert f"{copied}: has no config.json (remedy: " in refusal(copied)
