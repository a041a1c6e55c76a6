"""Held-out rows: never trained on, evaluated at checkpoints, and without effect on training."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from ndino.train.build import load_model
from ndino.train.callbacks import StopOnSignal
from ndino.train.dataset import ConversationDataset
from ndino.train.engine import run_stage
from ndino.train.loss import supervised_loss
from ndino.train.rows.run_index import stage_index
from ndino.train.stage import StageError, StageStopped
from ndino.train.trainer import NativeTrainer
from ndino.train.watching import throughput
from ndino.train.watching.held_out import HeldOut, hold_out
from tests.train.conftest import ROWS, interrupt
from tests.train.samples import collate

HELD = 5


def quiet(step: int, of: int) -> None: ...


def rows_of(out) -> set[int]:
    return {json.loads(line)["row"] for line in (out / "samples.jsonl").read_text().splitlines()}


def test_a_stage_evaluates_rows_that_it_does_not_train_on(stage, recipe, tmp_path, monkeypatch):
    recipe = dataclasses.replace(recipe, eval_rows=HELD, per_device_batch=2)
    whole = dataclasses.replace(stage, recipe=recipe)
    trained: set[int] = set()
    plain_step = NativeTrainer.training_step

    def step(trainer, model, inputs, *arguments):
        trained.update(inputs["rows"].tolist())
        return plain_step(trainer, model, inputs, *arguments)

    monkeypatch.setattr(NativeTrainer, "training_step", step)
    folder = run_stage(whole, on_step=quiet)
    manifest = json.loads((stage.out / "manifest.json").read_text())
    assert (manifest["rows"], manifest["eval_rows"]) == (ROWS - HELD, HELD)
    progress = json.loads((stage.out / "progress.json").read_text())
    assert progress["eval_curve"] == manifest["eval_curve"], "with the last checkpoint's"
    steps, losses = zip(*manifest["eval_curve"], strict=True)
    assert steps == (2, 4, 6) and losses[0] > losses[-1]
    # The same loss by hand, from the published weights.
    model, processor = load_model(folder, recipe)
    _, held = hold_out(stage_index(whole, processor), HELD, seed=recipe.seed)
    assert held is not None and not trained & set(held.row_numbers.tolist())
    assert trained | set(held.row_numbers.tolist()) == set(range(1, ROWS + 1))
    dataset = ConversationDataset(held, stage.image_folder, processor)
    batch = collate((model, processor), *(dataset[place] for place in range(HELD)))
    with torch.no_grad():
        assert losses[-1] == pytest.approx(float(supervised_loss(model.eval(), batch)), rel=1e-4)
    # One caption a checkpoint, always of the same image, beside what should have been said.
    samples = [json.loads(line) for line in (stage.out / "samples.jsonl").read_text().splitlines()]
    assert [sample["step"] for sample in samples] == [2, 4, 6]
    assert len({sample["row"] for sample in samples}) == 1 and samples[0]["row"] in held.row_numbers
    texts = [json.loads(line) for line in stage.data.read_text().splitlines()]
    assert samples[0]["answer"] == texts[samples[0]["row"] - 1]["conversations"][1]["value"]
    # What generate gives for the model that was published after the last of them.
    row = held[list(held.row_numbers).index(samples[0]["row"])]
    text = "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n<image>\nChe cosa vedi?<|eot_id|>"
    text += "<|start_header_id|>assistant<|end_header_id|>\n\n"
    image = Image.open(stage.image_folder / row.images[0]).convert("RGB")
    inputs = processor(images=image, text=text, return_tensors="pt")
    made = model.generate(
        **inputs, max_new_tokens=32, do_sample=False, suppress_tokens=[model.config.image_token_id]
    )[0, inputs["input_ids"].shape[1] :]
    assert samples[-1]["caption"] == processor.tokenizer.decode(made, skip_special_tokens=True)

    stopped = dataclasses.replace(whole, out=tmp_path / "stopped")
    interrupt(stopped, at=5)
    run_stage(stopped, on_step=quiet)
    again = json.loads((stopped.out / "manifest.json").read_text())
    assert again["resumed_from"] == "checkpoint-4"
    assert (again["eval_curve"], again["loss_curve"]) == (manifest["eval_curve"], manifest["loss_curve"])
    assert (stopped.out / "samples.jsonl").read_bytes() == (stage.out / "samples.jsonl").read_bytes()
    one, other = (load_file(run.out / "model" / "model.safetensors") for run in (whole, stopped))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_evaluating_is_none_of_the_training_s_time_and_does_not_delay_a_stop(stage, recipe, monkeypatch):
    stage = dataclasses.replace(stage, recipe=dataclasses.replace(recipe, eval_rows=4))
    now = [0.0]
    monkeypatch.setattr(throughput.time, "monotonic", lambda: now[0])
    evaluated: list[int] = []

    def loss(held_out: HeldOut) -> float:
        evaluated.append(held_out.trainer.state.global_step)
        now[0] += 1000
        return 1.0

    monkeypatch.setattr(HeldOut, "loss", loss)
    plain_step = NativeTrainer.training_step

    def step(trainer, *arguments):
        now[0] += 1
        return plain_step(trainer, *arguments)

    monkeypatch.setattr(NativeTrainer, "training_step", step)
    stop = StopOnSignal()

    def tell(step: int, of: int) -> None:
        stop.stop_requested = step == 3

    with pytest.raises(StageStopped, match="stopped after step 3"):
        run_stage(stage, on_step=tell, stop=stop)
    assert evaluated == [2]
    run_stage(stage, on_step=quiet)
    assert evaluated == [2, 3, 4, 6]
    manifest = json.loads((stage.out / "manifest.json").read_text())
    # Three steps of four samples, a second each.
    assert (manifest["resumed_from"], manifest["speed"]["samples_per_second"]) == ("checkpoint-3", 4.0)


def test_rows_are_chosen_by_seed_alone(stage, recipe, built):
    index = stage_index(stage, built[1])
    training, held = hold_out(index, HELD, seed=1)
    assert held is not None
    assert sorted([*training.row_numbers, *held.row_numbers]) == list(range(1, ROWS + 1))
    assert held.row_numbers.tolist() == hold_out(index, HELD, seed=1)[1].row_numbers.tolist()
    assert held.row_numbers.tolist() != hold_out(index, HELD, seed=2)[1].row_numbers.tolist()
    fewer = hold_out(index, 2, seed=1)[1]
    assert set(fewer.row_numbers) < set(held.row_numbers), "more rows only add to them"
    place = int(held.row_numbers[3])
    assert held[3].row == place and held.lengths[3] == held[3].length
    with pytest.raises(IndexError):
        held[HELD]
    assert held.has_images
    table = index.table.map(lambda row: {**row, "images": row["images"] if row["row"] == place else []})
    parts = hold_out(dataclasses.replace(index, table=table), HELD, seed=1)
    assert [part is not None and part.has_images for part in parts] == [False, True]
    assert hold_out(index, 0, seed=1) == (index, None)
    with pytest.raises(StageError, match=f"eval_rows: {ROWS} of {ROWS} usable rows leave none"):
        hold_out(index, ROWS, seed=1)
