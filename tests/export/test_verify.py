"""``--verify``: equal to upstream's code, and every kind of slip is seen."""

from __future__ import annotations

import functools
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from fixtures.upstream_checkpoint import llama, write_checkpoint
from ndino.export import verify as checks
from ndino.export.converter import convert
from ndino.export.errors import ConversionError
from ndino.export.sample_images import SHAPES
from tests.commands import convert as convert_command


@pytest.fixture
def without_upstream(monkeypatch, tmp_path):
    monkeypatch.setattr(checks, "UPSTREAM_TREE", tmp_path / "LLaVA-NeXT")


def change_json(path: Path, keys: list[str], value) -> None:
    content = json.loads(path.read_text())
    part = content
    for key in keys[:-1]:
        part = part[key]
    part[keys[-1]] = value(part[keys[-1]]) if callable(value) else value
    path.write_text(json.dumps(content))


def change_weight(folder: Path, name: str, change) -> None:
    weights = load_file(folder / "model.safetensors")
    weights[name] = change(weights[name])
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def swap_grids(folder: Path) -> None:
    def swap(pairs):
        return [[b, a] for a, b in pairs]

    change_json(folder / "config.json", ["image_grid_pinpoints"], swap)
    change_json(folder / "processor_config.json", ["image_processor", "image_grid_pinpoints"], swap)


@pytest.mark.upstream
@pytest.mark.parametrize(
    "made",
    [
        {"dtype": torch.bfloat16, "suffix": "bin", "shards": 2},
        {"text": llama(tie_word_embeddings=True, attention_bias=True, mlp_bias=True)},
    ],
    ids=["bf16-bin", "tied-biased"],
)
def test_equal_to_upstream(tmp_path, tower, capsys, made):
    src = write_checkpoint(tmp_path / "src", tower, **made)
    assert convert_command([str(src), str(tmp_path / "dst"), "--verify"]) == 0
    printed = capsys.readouterr().out
    assert "equal: largest difference of logits" in printed
    assert all(f"{name}: largest difference" in printed for name in ("wide", "tall", "square", "small"))


@pytest.mark.upstream
def test_a_mistake_shows_on_each_image(tmp_path, checkpoint, converted, monkeypatch):
    # Upstream's side is the same for all of these, so it runs once.
    kept, run = {}, checks._run_upstream

    def once(src, tower, folder):
        if not kept:
            run(src, tower, folder)
            kept.update({name: load_file(folder / f"{name}.safetensors") for name in SHAPES})
        for name, logits in kept.items():
            save_file(logits, folder / f"{name}.safetensors")

    monkeypatch.setattr(checks, "_run_upstream", once)

    def spoilt(change) -> checks.Verdict:
        folder = tmp_path / "spoilt"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(converted, folder)
        change(folder)
        return checks.verify(checkpoint, folder)

    assert max(spoilt(lambda folder: None).differences.values()) < 1e-5
    slips = (
        lambda folder: change_weight(folder, "image_newline", lambda value: value + 0.01),
        lambda folder: change_json(folder / "config.json", ["vision_feature_layer"], -1),
        lambda folder: change_json(folder / "config.json", ["text_config", "rope_theta"], 10000.0),
        lambda folder: change_json(folder / "config.json", ["vision_config", "hidden_act"], "quick_gelu"),
        lambda folder: change_json(
            folder / "processor_config.json", ["image_processor", "image_mean"], [0.48, 0.46, 0.41]
        ),
    )
    for slip in slips:
        verdict = spoilt(slip)
        assert not verdict.passed and all(value > 1e-4 for value in verdict.differences.values())
        assert "NOT equal" in verdict.lines()[-1]
    with pytest.raises(ConversionError, match="image: 60 positions here, but 64 in upstream"):
        spoilt(swap_grids)


@pytest.mark.upstream
def test_a_model_with_a_massive_channel_is_judged_by_what_its_own_kernels_differ_by(
    tmp_path, tower, monkeypatch
):
    """As trained LLaMAs have one. Upstream runs with another attention kernel, as on another machine."""
    monkeypatch.setattr(checks, "_run_upstream", functools.partial(checks._run_upstream, attention="eager"))
    src = write_checkpoint(tmp_path / "src", tower, text=llama(num_hidden_layers=8))
    weights = load_file(src / "model.safetensors")
    massive, channel = 1000.0, 5
    for name in ("model.embed_tokens.weight", "model.mm_projector.2.bias", "model.image_newline"):
        weights[name][..., channel] = massive
    for name, value in weights.items():
        if "vision" not in name and name.endswith(("norm.weight", "layernorm.weight")):
            value *= massive / 32**0.5  # what is left of the other channels, back to their size
            value[channel] = 0.03
        if "vision" not in name and "q_proj" in name:
            value *= 30  # attention that turns small differences into larger ones
    weights["lm_head.weight"] /= 250
    save_file(weights, src / "model.safetensors", metadata={"format": "pt"})
    dst = convert(src, tmp_path / "dst")
    right = checks.verify(src, dst)
    assert right.passed and max(right.differences.values()) > checks.TOLERANCE, right
    change_weight(dst, "language_model.model.layers.1.mlp.up_proj.weight", lambda value: value.flip(0))
    wrong = checks.verify(src, dst)
    assert not wrong.passed and min(wrong.differences.values()) > 10 * wrong.tolerance, wrong


@pytest.mark.upstream
def test_an_upstream_failure_is_shown(tmp_path, checkpoint, converted):
    src = tmp_path / "src"
    shutil.copytree(checkpoint, src)
    change_json(src / "config.json", ["mm_projector_type"], "nonsense")
    with pytest.raises(ConversionError, match="code fails: ValueError: Unknown projector type: nonsense"):
        checks.verify(src, converted)


def test_a_difference_fails_the_command(tmp_path, checkpoint, capsys, monkeypatch):
    monkeypatch.setattr(checks, "verify", lambda *_, **__: checks.Verdict({"wide": 2e-4}))
    assert convert_command([str(checkpoint), str(tmp_path / "dst"), "--verify"]) == 1
    assert "NOT equal: largest difference of logits 2.00e-04" in capsys.readouterr().out


def test_not_a_number_is_a_difference():
    assert not checks.Verdict({"wide": 0.0, "tall": float("nan")}).passed
    assert not checks.Verdict({"wide": 0.0}, float("nan")).passed


def test_without_upstream_the_lesser_check_is_announced(tmp_path, checkpoint, capsys, without_upstream):
    assert convert_command([str(checkpoint), str(tmp_path / "dst"), "--verify"]) == 0
    assert "This is less than comparing logits" in capsys.readouterr().out


def test_without_upstream_faulty_weights_are_detected(tmp_path, checkpoint, copied, without_upstream):
    dst = convert(copied, tmp_path / "dst")
    change_weight(dst, "language_model.model.norm.weight", lambda value: value * 1e38)
    with pytest.raises(ConversionError, match="logits of the wide image are not finite"):
        checks.verify(checkpoint, dst)
    change_weight(dst, "language_model.model.norm.weight", lambda value: value * float("nan"))
    with pytest.raises(ConversionError, match=r"tensor \S+norm\.weight has values that are not finite"):
        checks.verify(checkpoint, dst)
    weights = load_file(dst / "model.safetensors")
    weights["image_new_line"] = weights.pop("image_newline")
    save_file(weights, dst / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConversionError, match="missing keys"):
        checks.verify(checkpoint, dst)


def test_the_command_names_what_is_wrong(tmp_path, capsys):
    assert convert_command([str(tmp_path / "no"), str(tmp_path / "dst")]) == 2
    no_such = f"ndino convert: {tmp_path / 'no'}: no such folder (remedy: "
    assert capsys.readouterr().err.startswith(no_such)
    (tmp_path / "no").mkdir()
    assert convert_command([str(tmp_path / "no"), str(tmp_path / "dst")]) == 1
    assert capsys.readouterr().err.startswith(f"ndino convert: {tmp_path / 'no'}")
