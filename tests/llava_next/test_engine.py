"""Stages of the upstream engine: what they leave behind, repeatable, and what is not published."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoProcessor, AutoTokenizer, LlavaNextForConditionalGeneration

from ndino.formats.llava_json import write_conversations
from ndino.llava_next.engine import run_stage
from ndino.train.build import ModelFolderError
from ndino.train.callbacks import StopOnSignal
from ndino.train.checkpoints import newest_complete_checkpoint, step_of
from ndino.train.health.divergence import events
from ndino.train.health.ending import failure_since
from ndino.train.stage import Stage, StageError, StageStopped
from tests.llava_next.conftest import first_stage
from tests.train.conftest import texts

pytestmark = pytest.mark.upstream
PROJECTOR = ("model.mm_projector.", "model.image_newline")


def quiet(*_) -> None:
    pass


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "upstream" / "model.safetensors")


def equal(run: Path, other: Path) -> bool:
    ours, theirs = weights(run), weights(other)
    return ours.keys() == theirs.keys() and all(ours[name].equal(theirs[name]) for name in ours)


def next_stage(recipe, rows, parent: Path, out: Path) -> Stage:
    return Stage(recipe, rows / "rows.jsonl", rows / "images", out, model=parent / "upstream")


def test_a_run_leaves_what_the_native_engine_leaves(first_run, first_recipe):
    manifest = json.loads((first_run / "manifest.json").read_text())
    assert manifest["engine"] == "llava-next"
    assert len(manifest["upstream"]["LLaVA-NeXT"]) == 40
    assert manifest["recipe"] == json.loads(json.dumps(dataclasses.asdict(first_recipe)))
    assert manifest["versions"]["transformers"].startswith("4.45")
    assert manifest["steps"] == 6 and len(manifest["loss_curve"]) == 6
    assert manifest["rows"] == 12 and manifest["rejected_rows"] == 0
    assert manifest["tokens"] > 6 * 4 * 20
    assert manifest["largest_logit_difference"] < 1e-4
    held = json.loads((first_run / "run.json").read_text())
    assert {key: manifest[key] for key in held} == held
    written = [path for path in first_run.rglob("*") if path.is_file() and not path.is_symlink()]
    modes = {path.stat().st_mode & 0o777 for path in written if (first_run / "start") not in path.parents}
    assert modes == {(first_run / "run.json").stat().st_mode & 0o777}
    LlavaNextForConditionalGeneration.from_pretrained(first_run / "model")
    assert AutoProcessor.from_pretrained(first_run / "model").tokenizer.pad_token == "<|pad|>"


def test_the_trainer_s_own_vocabulary_has_pad_and_image(first_run):
    tokenizer = AutoTokenizer.from_pretrained(first_run / "upstream")
    assert tokenizer.pad_token == "<|pad|>" and "<image>" in tokenizer.get_vocab()
    config = json.loads((first_run / "upstream" / "config.json").read_text())
    assert config["model_type"] == "llava_llama" and config["pad_token_id"] == tokenizer.pad_token_id
    embeddings = weights(first_run)["model.embed_tokens.weight"]
    old = load_file(first_run / "start" / "llama" / "model.safetensors")["model.embed_tokens.weight"]
    assert len(embeddings) == config["vocab_size"] >= len(tokenizer) and len(embeddings) % 64 == 0
    assert torch.allclose(embeddings[len(old) :], old.mean(dim=0), atol=1e-6)


def test_the_loss_falls(first_run):
    curve = json.loads((first_run / "manifest.json").read_text())["loss_curve"]
    assert curve[-1][1] < curve[0][1]


def test_the_projector_stage_moves_projector_and_newline_only(first_run, tmp_path):
    before, after = load_file(first_run / "start" / "llama" / "model.safetensors"), weights(first_run)
    assert {name for name in before if not after[name][: len(before[name])].equal(before[name])} == set()
    trained = load_file(first_run / "checkpoint-6" / "trained.safetensors")
    assert trained.keys() == {name for name in after if name.startswith(PROJECTOR)}


def test_the_same_seed_gives_the_same_weights_and_another_does_not(
    first_run, first_recipe, backbones, rows, tmp_path
):
    again = first_stage(first_recipe, backbones, rows, tmp_path / "again")
    run_stage(again, on_step=quiet)
    assert equal(first_run, again.out)
    other = first_stage(dataclasses.replace(first_recipe, seed=7), backbones, rows, tmp_path / "other")
    run_stage(other, on_step=quiet)
    assert not weights(first_run)["model.image_newline"].equal(weights(other.out)["model.image_newline"])


def test_projector_and_newline_continue_from_the_earlier_stage(first_run, recipe, rows, tmp_path, capsys):
    still = dataclasses.replace(
        recipe, learning_rate=1e-12, vision_learning_rate=1e-12, warmup_ratio=0.0, max_steps=1, save_steps=1
    )
    run_stage(next_stage(still, rows, first_run, tmp_path / "next"), on_step=quiet)
    before, after = weights(first_run), weights(tmp_path / "next")
    assert all(torch.allclose(before[name], after[name], atol=1e-9) for name in before)
    # The backbones have learned next to nothing, and this stage adds nothing.
    (warning,) = json.loads((tmp_path / "next" / "manifest.json").read_text())["warnings"]
    assert "after the last step, no better than a uniform guess's (5.951)" in warning
    assert f"warning: {tmp_path / 'next'}: {warning}\n" in capsys.readouterr().out


def test_data_of_text_alone_need_no_folder_of_images(first_run, recipe, tmp_path):
    stage = Stage(
        recipe=dataclasses.replace(recipe, max_steps=2, per_device_batch=2),
        data=texts(tmp_path),
        image_folder=tmp_path / "none",
        out=tmp_path / "run",
        model=first_run / "upstream",
    )
    run_stage(stage, on_step=lambda *_: None)
    manifest = json.loads((stage.out / "manifest.json").read_text())
    assert (manifest["rows"], manifest["rejected_rows"], manifest["steps"]) == (8, 0, 2)


def test_a_finished_stage_returns_at_once(first_run, first_recipe, backbones, rows):
    stage = first_stage(first_recipe, backbones, rows, first_run)
    steps = []
    run_stage(stage, on_step=lambda *step: steps.append(step))
    assert steps == []


def test_a_run_that_diverges_stops_with_its_rows_and_publishes_nothing(
    first_run, recipe, backbones, rows, tmp_path
):
    hot = dataclasses.replace(recipe, learning_rate=1.0e8, vision_learning_rate=None, per_device_batch=2)
    stage = next_stage(hot, rows, first_run, tmp_path / "out")
    with pytest.raises(StageError, match=r"training diverged at step (\d): .* is nan") as caught:
        run_stage(stage, on_step=quiet)
    (event,) = events(stage.out)
    said = str(caught.value)
    assert f"step {event.step}: " in said and "of rows.jsonl in it" in said and "skip" not in said
    assert len(event.batches) == 2 and event.rows and set(event.rows) <= set(range(1, 13))
    assert not (stage.out / "upstream").exists() and not (stage.out / "model").exists()
    assert step_of(newest_complete_checkpoint(stage.out)) < event.step - 1
    assert "'loss': 0.0" not in (stage.out / "train.log").read_text()


def test_a_dead_model_is_noticed_by_gradients_of_exactly_zero(tree, first_recipe, backbones, rows, tmp_path):
    dead = tmp_path / "dead"
    shutil.copytree(backbones.language_model, dead)
    tensors = load_file(dead / "model.safetensors")
    for name in ("model.norm.weight", "lm_head.weight"):
        tensors[name].zero_()
    save_file(tensors, dead / "model.safetensors", metadata={"format": "pt"})
    stage = first_stage(first_recipe, backbones, rows, tmp_path / "out")
    with pytest.raises(StageError, match=r"diverged at step 1: every gradient is exactly 0 .* in step 3"):
        run_stage(dataclasses.replace(stage, language_model=dead), on_step=quiet)
    assert newest_complete_checkpoint(stage.out) is None and not (stage.out / "model").exists()


@pytest.mark.parametrize(
    ("rate", "said"),
    [
        (1.0e-30, "no weight differs from the start after 1 steps in float32, nothing is published"),
        (1.0e30, "training diverged at step 1: the loss is nan after the last step"),
        (3.0e1, r"training diverged at step 1: the loss is \d+ after the last step, \d\.\d+ in the first"),
    ],
)
def test_a_result_equal_to_its_start_or_ruined_in_the_last_step_is_not_published(
    rate, said, first_run, recipe, rows, tmp_path
):
    once = dataclasses.replace(
        recipe,
        learning_rate=rate,
        vision_learning_rate=None,
        trainable=("language_model",),
        warmup_ratio=0.0,
        max_steps=1,
        save_steps=1,
    )
    stage = next_stage(once, rows, first_run, tmp_path / "out")
    with pytest.raises(StageError, match=said):
        run_stage(stage, on_step=quiet)
    assert re.match(f"{stage.out}: {said}", failure_since(stage.out, 0))
    assert not (stage.out / "upstream").exists() and not (stage.out / "model").exists()


class Told(StopOnSignal):
    """Gets a signal when it is first asked for one."""

    def requested(self) -> bool:
        os.kill(os.getpid(), signal.SIGTERM)
        return super().requested()


def test_a_signal_ends_indexing(tree, first_recipe, backbones, rows, tmp_path):
    data = Path(shutil.copy(rows / "rows.jsonl", tmp_path))  # without an index
    stage = first_stage(first_recipe, backbones, rows, tmp_path / "out")
    with pytest.raises(StageStopped, match="out: stopped while indexing"):
        run_stage(dataclasses.replace(stage, data=data), on_step=quiet, stop=Told())
    assert not (stage.out / "run.json").exists() and not (stage.out / "train.log").exists()


def test_control_c_saves_a_checkpoint(tree, first_recipe, backbones, rows, tmp_path):
    recipe = dataclasses.replace(first_recipe, save_steps=100)
    stage = first_stage(recipe, backbones, rows, tmp_path / "out")

    def interrupt(step: int, of: int) -> None:
        if step == 1:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(StageStopped, match=r"stopped after step \d"):
        run_stage(stage, on_step=interrupt)
    assert 0 < step_of(newest_complete_checkpoint(stage.out)) < 6
    assert not (stage.out / "upstream").exists() and not (stage.out / "manifest.json").exists()


def test_a_result_or_a_start_that_is_not_finite_is_refused(
    first_run, first_recipe, recipe, backbones, rows, tmp_path
):
    run = first_stage(first_recipe, backbones, rows, tmp_path / "run")
    shutil.copytree(first_run, run.out)
    shutil.rmtree(run.out / "model")
    (run.out / "manifest.json").unlink()
    weights = load_file(run.out / "upstream" / "model.safetensors")
    weights["model.image_newline"][3] = float("nan")
    save_file(weights, run.out / "upstream" / "model.safetensors", metadata={"format": "pt"})
    where = "upstream/model.safetensors: tensor model.image_newline"
    with pytest.raises(StageError, match=f"{where} is not finite, nothing is published"):
        run_stage(run, on_step=quiet)
    assert not (run.out / "model").exists() and not (run.out / "manifest.json").exists()
    with pytest.raises(ModelFolderError, match=f"{where} has values that are not finite"):
        run_stage(next_stage(recipe, rows, run.out, tmp_path / "next"), on_step=quiet)


def test_another_run_in_the_folder_is_refused(first_run, first_recipe, backbones, rows):
    stage = first_stage(dataclasses.replace(first_recipe, seed=8), backbones, rows, first_run)
    with pytest.raises(StageError, match="holds a run with another recipe"):
        run_stage(stage, on_step=quiet)


def test_a_converted_model_cannot_be_a_start(first_run, recipe, rows, tmp_path):
    stage = Stage(recipe, rows / "rows.jsonl", rows / "images", tmp_path / "out", model=first_run / "model")
    with pytest.raises(ModelFolderError, match="give the upstream folder of an earlier stage"):
        run_stage(stage, on_step=quiet)


def test_bad_rows_are_rejected_before_upstream_sees_them(first_recipe, backbones, rows, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(rows / "images", folder / "images")
    (folder / "images" / "torn.png").write_bytes(b"\x89PNG no more")
    good = [json.loads(line) for line in (rows / "rows.jsonl").read_text().splitlines()]
    bad = [{**good[0], "id": "x", "image": name} for name in ("missing.png", "torn.png")]
    write_conversations(folder / "rows.jsonl", good + bad)
    recipe = dataclasses.replace(first_recipe, max_steps=1, save_steps=1, warmup_ratio=0.0, max_rejected=0.2)
    stage = first_stage(recipe, backbones, folder, tmp_path / "out")
    run_stage(stage, on_step=quiet)
    manifest = json.loads((stage.out / "manifest.json").read_text())
    assert (manifest["rows"], manifest["rejected_rows"]) == (12, 2)
    reasons = (stage.out / "rejects.txt").read_text()
    assert "missing.png" in reasons and "torn.png" in reasons
