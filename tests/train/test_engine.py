"""A stage from data to manifest: what it trains, how it resumes, what it refuses."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
import torch
from transformers import LlavaNextForConditionalGeneration, TrainingArguments

from ndino.cluster.checks import Allocation, check
from ndino.common.errors import UsageError
from ndino.formats.recipes import load_recipe
from ndino.train import engine
from ndino.train.build import build_model
from ndino.train.callbacks import StopOnSignal
from ndino.train.checkpoints import COMPLETE, checkpoints_of, newest_complete_checkpoint
from ndino.train.engine import run_stage, training_arguments
from ndino.train.health.ranks import ending_together
from ndino.train.rows.index import open_index
from ndino.train.stage import Stage, StageError, StageStopped, require_inputs
from ndino.train.trainer import NativeTrainer
from tests.train.conftest import ROOT, ROWS, interrupt, mix_in_texts, texts


def quiet(step: int, of: int) -> None: ...


def weights(stage: Stage) -> dict[str, torch.Tensor]:
    return LlavaNextForConditionalGeneration.from_pretrained(stage.out / "model").state_dict()


def test_projector_stage_moves_projector_and_newline_only(stage, recipe):
    stage = dataclasses.replace(stage, recipe=dataclasses.replace(recipe, trainable="projector"))
    run_stage(stage, on_step=quiet)
    before, _ = build_model(stage.language_model, stage.vision_tower, stage.recipe)
    trained = weights(stage)
    for name, value in before.state_dict().items():
        moved = not torch.equal(value, trained[name])
        assert moved == ("multi_modal_projector" in name or name.endswith("image_newline")), name


def test_all_weights_stage_writes_model_and_manifest(stage, recipe):
    steps = []
    folder = run_stage(stage, on_step=lambda step, of: steps.append((step, of)))
    assert steps == [(step, 6) for step in range(1, 7)]
    manifest = json.loads((stage.out / "manifest.json").read_text())
    assert manifest["recipe"]["learning_rate"] == recipe.learning_rate
    assert (manifest["rows"], manifest["rejected_rows"], manifest["steps"]) == (ROWS, 0, 6)
    assert [step for step, _ in manifest["loss_curve"]] == list(range(1, 7))
    assert manifest["tokens"] > 6 * 4 * 20
    assert len(manifest["data"]["sha256"]) == 64
    before, _ = build_model(stage.language_model, stage.vision_tower, recipe)
    trained = weights(stage)
    moved = {name for name, value in before.state_dict().items() if not torch.equal(value, trained[name])}
    assert any("vision_tower" in name for name in moved) and "lm_head.weight" in moved
    # A second call trains nothing.
    time = (folder / "model.safetensors").stat().st_mtime_ns
    assert run_stage(stage, on_step=lambda *_: pytest.fail("trained again")) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == time


@pytest.mark.parametrize("torn", [False, True])
def test_an_interrupted_stage_ends_with_the_same_weights(stage, tmp_path, torn):
    run_stage(stage, on_step=quiet)
    stopped = dataclasses.replace(stage, out=tmp_path / "stopped")
    interrupt(stopped, at=5)
    checkpoint = newest_complete_checkpoint(stopped.out)
    assert checkpoint.name == "checkpoint-4"
    if torn:
        # What a kill leaves in the middle of writing: some files, no mark.
        half = stopped.out / "checkpoint-5"
        shutil.copytree(checkpoint, half)
        (half / COMPLETE).unlink()
        (half / "model.safetensors").write_bytes(b"torn")
    states = {
        path / "optimizer.pt": (path / "optimizer.pt").read_bytes() for path in stopped.out.glob("c*-[24]")
    }
    for path, content in states.items():
        path.write_bytes(bytes(len(content)))
    with pytest.raises(StageError, match=r"checkpoint-4: damaged: .*\(optimizer\.pt\).* does not start over"):
        run_stage(stopped, on_step=lambda *_: pytest.fail("trained from the start"))
    for path, content in states.items():
        path.write_bytes(content)
    resumed = []
    run_stage(stopped, on_step=lambda step, of: resumed.append(step))
    assert resumed == [5, 6]
    expected, found = weights(stage), weights(stopped)
    for name, value in expected.items():
        assert torch.equal(value, found[name]), name
    curves = [json.loads((run.out / "manifest.json").read_text())["loss_curve"] for run in (stage, stopped)]
    assert curves[0] == curves[1]


def test_a_kill_before_publishing_leaves_only_that_to_do(stage, recipe):
    # 5 steps of 3 epochs of 12 rows: the last one ends in the middle of an epoch.
    recipe = dataclasses.replace(recipe, max_steps=5, save_steps=5)
    stage = dataclasses.replace(stage, recipe=recipe)
    run_stage(stage, on_step=quiet)
    first, published = json.loads((stage.out / "manifest.json").read_text()), weights(stage)
    (stage.out / "manifest.json").unlink()
    shutil.rmtree(stage.out / "model")
    run_stage(stage, on_step=lambda *_: pytest.fail("trained a step too many"))
    again = json.loads((stage.out / "manifest.json").read_text())
    assert (again["steps"], again["resumed_from"]) == (5, "checkpoint-5")
    assert again["train_loss"] == pytest.approx(first["train_loss"], rel=1e-4)
    for name in ("loss_curve", "weights", "tokens"):
        assert again[name] == first[name], name
    assert all(torch.equal(value, published[name]) for name, value in weights(stage).items())


def _truncate(path: Path) -> None:
    os.truncate(path, 1000)


def _change(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4] + b"\1\2\3\4")


@pytest.mark.parametrize("damage", [_truncate, _change, Path.unlink])
def test_a_damaged_model_of_a_finished_run_is_published_again(stage, damage, capsys):
    file = run_stage(stage, on_step=quiet) / "model.safetensors"
    content = file.read_bytes()
    damage(file)
    run_stage(stage, on_step=lambda *_: pytest.fail("trained again"))
    assert file.read_bytes() == content
    assert "is published again from checkpoint-6" in capsys.readouterr().out
    run_stage(stage, on_step=quiet)
    assert capsys.readouterr().out == f"{stage.out}: this run is finished, nothing is trained\n"
    damage(file)
    for checkpoint in checkpoints_of(stage.out).values():
        shutil.rmtree(checkpoint)
    with pytest.raises(StageError, match=r"model: .* no complete checkpoint .* \(remedy: put a good copy"):
        run_stage(stage, on_step=lambda *_: pytest.fail("trained again"))


@pytest.mark.parametrize("ending", [None, "end_of_text", "newline"])
def test_rows_that_the_length_limit_cuts_are_counted_and_told(stage, recipe, ending, tmp_path, capsys):
    if ending:
        recipe = dataclasses.replace(recipe, prompt="plain", plain_ending=ending)
    whole = dataclasses.replace(stage, recipe=dataclasses.replace(recipe, max_steps=1, warmup_ratio=0.0))
    run_stage(whole, on_step=quiet)
    assert json.loads((whole.out / "manifest.json").read_text())["cut_rows"] == 0
    assert "cut by max_length" not in capsys.readouterr().out
    record = json.loads((whole.out / "index.json").read_text())
    lengths = sorted(open_index(Path(record["folder"])).lengths.tolist())
    # The longest row that is whole is as long as the limit.
    limit = next(length for length in reversed(lengths) if length < lengths[-1])
    longer = sum(length > limit for length in lengths)
    short = dataclasses.replace(whole.recipe, max_length=limit)
    run_stage(dataclasses.replace(whole, recipe=short, out=tmp_path / "short"), on_step=quiet)
    assert json.loads((tmp_path / "short" / "manifest.json").read_text())["cut_rows"] == longer > 0
    assert f" {longer} of {ROWS} rows are cut by max_length: {limit}," in capsys.readouterr().out


def test_accumulation_equals_the_whole_batch(stage, recipe, tmp_path):
    run_stage(stage, on_step=quiet)
    split = dataclasses.replace(
        stage,
        recipe=dataclasses.replace(recipe, per_device_batch=2, loss_average="token"),
        out=tmp_path / "split",
    )
    run_stage(split, on_step=quiet)
    curves = [json.loads((run.out / "manifest.json").read_text())["loss_curve"] for run in (stage, split)]
    assert [loss for _, loss in curves[0]] == pytest.approx([loss for _, loss in curves[1]], rel=1e-3)


def test_out_of_memory_a_run_resumes_with_smaller_batches(stage, recipe, tmp_path, monkeypatch):
    recipe = dataclasses.replace(recipe, loss_average="token")
    stage = dataclasses.replace(stage, recipe=recipe)
    run_stage(stage, on_step=quiet)
    stopped = dataclasses.replace(stage, out=tmp_path / "stopped")

    def run_out_of_memory(step: int, of: int) -> None:
        if step == 3:
            raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        run_stage(stopped, on_step=run_out_of_memory)
    assert newest_complete_checkpoint(stopped.out).name == "checkpoint-2"
    smaller = dataclasses.replace(
        recipe, per_device_batch=1, gradient_checkpointing=True, save_steps=3, save_total_limit=9
    )
    batches = []

    class Counting(NativeTrainer):
        def compute_loss(self, model, inputs, **options):
            batches.append(len(inputs["input_ids"]))
            return super().compute_loss(model, inputs, **options)

    monkeypatch.setattr(engine, "NativeTrainer", Counting)
    warnings = logging.Handler()
    warnings.emit = lambda record: pytest.fail(f"what may change is warned of: {record.getMessage()}")
    monkeypatch.setattr(logging.getLogger("transformers.trainer_utils"), "handlers", [warnings])
    run_stage(dataclasses.replace(stopped, recipe=smaller), on_step=quiet)
    assert batches == [1] * 4 * 4
    assert sorted(checkpoints_of(stopped.out)) == [2, 3, 6]
    curves = [json.loads((run.out / "manifest.json").read_text())["loss_curve"] for run in (stage, stopped)]
    assert [loss for _, loss in curves[0]] == pytest.approx([loss for _, loss in curves[1]], rel=1e-4)
    expected, found = weights(stage), weights(stopped)
    for name, value in expected.items():
        assert torch.allclose(value, found[name], atol=1e-4), name


def test_the_steps_of_an_epoch_do_not_depend_on_the_micro_batches(stage, recipe):
    epoch = dataclasses.replace(recipe, effective_batch=8, per_device_batch=1, max_steps=None, epochs=2.0)
    run_stage(dataclasses.replace(stage, recipe=epoch), on_step=quiet)
    manifest = json.loads((stage.out / "manifest.json").read_text())
    assert (manifest["rows"], manifest["steps"]) == (ROWS, 2), "one step of 8 of the 12 rows, twice"


def test_the_folder_of_another_run_is_not_touched(stage, recipe):
    run_stage(stage, on_step=quiet)
    kept = (stage.out / "manifest.json").read_bytes()
    other = dataclasses.replace(stage, recipe=dataclasses.replace(recipe, learning_rate=0.1))
    with pytest.raises(StageError, match="another recipe"):
        run_stage(other, on_step=quiet)
    assert (stage.out / "manifest.json").read_bytes() == kept


def test_bad_rows_are_rejected_with_their_reason(stage, rows, tmp_path, capsys):
    images = tmp_path / "images"
    shutil.copytree(rows / "images", images)
    (images / "broken.png").write_bytes((images / "0.png").read_bytes()[:20])
    good = (rows / "rows.jsonl").read_text().splitlines()
    missing = json.dumps(json.loads(good[0]) | {"image": "nowhere.png"})
    broken = json.dumps(json.loads(good[0]) | {"image": "broken.png"})
    reversed_row = json.loads(good[0])
    reversed_row["conversations"].reverse()
    data = tmp_path / "bad.jsonl"
    data.write_text("\n".join([missing, *good, broken, '{"id": ', json.dumps(reversed_row)]) + "\n")
    stage = dataclasses.replace(stage, data=data, image_folder=images)
    with pytest.raises(StageError, match="4 of 16 rows cannot be used"):
        run_stage(stage, on_step=quiet)
    shutil.rmtree(stage.out)
    recipe = dataclasses.replace(stage.recipe, max_rejected=0.25)
    run_stage(dataclasses.replace(stage, recipe=recipe), on_step=quiet)
    manifest = json.loads((stage.out / "manifest.json").read_text())
    assert (manifest["rows"], manifest["rejected_rows"]) == (ROWS, 4)
    rejects = (stage.out / "rejects.txt").read_text()
    for row in (1, ROWS + 2, ROWS + 3, ROWS + 4):
        assert f"bad.jsonl row {row}: " in rejects
    assert "4 row(s)" in capsys.readouterr().out


@pytest.mark.system
def test_a_full_disk_is_reported_and_a_rerun_resumes(stage, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    # Room for the first checkpoint and not for the second.
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=10m", "tmpfs", str(small)], capture_output=True
    )
    if mount.returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        run = dataclasses.replace(stage, out=small / "run")
        with pytest.raises(StageError, match="the disk is full"), ending_together(run.out):
            run_stage(run, on_step=quiet)
        assert newest_complete_checkpoint(run.out).name == "checkpoint-2"
        subprocess.run(["mount", "-o", "remount,size=100m", str(small)], check=True)
        resumed = []
        run_stage(run, on_step=lambda step, of: resumed.append(step))
        assert resumed[0] == 3 and resumed[-1] == 6
    finally:
        # Lazily: an error above would keep files open, and must not be replaced by one of this.
        subprocess.run(["umount", "--lazy", str(small)], check=True)


def test_no_usable_row_ends_before_training(stage, tmp_path):
    data = tmp_path / "empty.jsonl"
    data.write_text('{"id": "1", "image": "nowhere.png", "conversations": []}\n')
    with pytest.raises(StageError, match="no usable row"):
        run_stage(dataclasses.replace(stage, data=data), on_step=quiet)


def test_a_batch_that_cannot_be_split_is_refused(recipe, tmp_path):
    recipe = dataclasses.replace(recipe, effective_batch=6, per_device_batch=4)
    with pytest.raises(StageError, match="cannot be split over 1 rank"):
        training_arguments(recipe, tmp_path, quiet=True)


@pytest.mark.parametrize("name", ["mlp", "pt", "it", "long", "mix"])
def test_every_recipe_becomes_arguments(name, tmp_path):
    recipe = load_recipe(ROOT / "launch" / "recipes" / f"{name}.yaml")
    arguments = training_arguments(recipe, tmp_path, quiet=True)
    per_step = arguments.per_device_train_batch_size * arguments.gradient_accumulation_steps
    assert per_step == recipe.effective_batch
    assert arguments.get_warmup_steps(1000) == 30


def test_control_c_saves_a_checkpoint_and_a_rerun_resumes(stage, recipe):
    stage = dataclasses.replace(stage, recipe=dataclasses.replace(recipe, save_steps=100))

    def interrupt(step: int, of: int) -> None:
        if step == 3:
            os.kill(os.getpid(), signal.SIGINT)

    stop = StopOnSignal()
    with stop.listening(), pytest.raises(StageStopped, match="stopped after step 3"):
        run_stage(stage, on_step=interrupt, stop=stop)
    resumed = []
    run_stage(stage, on_step=lambda step, of: resumed.append(step))
    assert resumed == [4, 5, 6]


def test_a_signal_before_training_ends_indexing_and_the_same_command_starts_over(stage, rows, tmp_path):
    data = shutil.copy(rows / "rows.jsonl", tmp_path)  # without an index
    stage = dataclasses.replace(stage, data=Path(data))
    stop = StopOnSignal()
    with stop.listening(), pytest.raises(StageStopped, match="run: stopped while indexing"):
        os.kill(os.getpid(), signal.SIGTERM)
        run_stage(stage, on_step=quiet, stop=stop)
    assert not (stage.out / "run.json").exists() and not checkpoints_of(stage.out)
    assert run_stage(stage, on_step=quiet).is_dir()


def test_a_projector_stage_trains_on_rows_some_of_which_have_no_image(stage, recipe, tmp_path):
    mixed = mix_in_texts(stage.data.parent, tmp_path)
    recipe = dataclasses.replace(recipe, trainable="projector", per_device_batch=1)
    stage = dataclasses.replace(stage, recipe=recipe, data=mixed / "rows.jsonl")
    run_stage(stage, on_step=quiet)
    manifest = json.loads((stage.out / "manifest.json").read_text())
    assert manifest["rows"] == ROWS + 4 and manifest["steps"] == 6


def test_a_projector_stage_without_any_image_is_refused(stage, recipe, tmp_path):
    data = texts(tmp_path)
    stage = dataclasses.replace(stage, data=data, recipe=dataclasses.replace(recipe, trainable="projector"))
    said = "no row has an image, so a stage that trains only the projector would learn nothing"
    with pytest.raises(StageError, match=said):
        run_stage(stage, on_step=quiet)
    problems = check(stage, Allocation(nodes=1, gpus=1), engine="native").problems
    assert [said in problem for problem in problems] == [True]


@pytest.mark.parametrize("changes", [{"prompt": "plain"}, {"packing": True, "loss_average": "token"}])
def test_a_stage_of_text_alone_needs_no_folder_of_images(stage, recipe, tmp_path, changes):
    recipe = dataclasses.replace(recipe, max_steps=2, per_device_batch=2, **changes)
    stage = dataclasses.replace(stage, data=texts(tmp_path), image_folder=tmp_path / "none", recipe=recipe)
    allocation = Allocation(nodes=1, gpus=1)
    require_inputs(stage)
    assert not check(stage, allocation, engine="native").problems
    run_stage(stage, on_step=quiet)
    manifest = json.loads((stage.out / "manifest.json").read_text())
    assert (manifest["rows"], manifest["rejected_rows"], manifest["steps"]) == (8, 0, 2)
    before = build_model(stage.language_model, stage.vision_tower, stage.recipe)[0].state_dict()
    moved = {name for name, value in weights(stage).items() if not torch.equal(value, before[name])}
    assert moved and all("language_model" in name or "lm_head" in name for name in moved)
    # With one image among them the folder is missing.
    with stage.data.open("a") as file:
        file.write(json.dumps({"id": "8", "image": "a.png", "conversations": []}) + "\n")
    with pytest.raises(UsageError, match="none: no such folder"):
        require_inputs(stage)
    problems = check(stage, allocation, engine="native").problems
    assert any("none: no such image folder" in problem for problem in problems)


def test_one_process_trains_on_one_of_several_gpus(recipe, tmp_path, monkeypatch, capsys):
    class Several(TrainingArguments):
        def __post_init__(self) -> None:
            super().__post_init__()
            self._n_gpu = 4

    monkeypatch.setattr(engine, "TrainingArguments", Several)
    arguments = training_arguments(recipe, tmp_path, quiet=True)
    assert (arguments.n_gpu, arguments.train_batch_size) == (1, recipe.per_device_batch)
    assert "4 GPUs are visible" in capsys.readouterr().out
