"""Training that diverges: it stops on every rank, keeps the last good checkpoint, and publishes nothing."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest
import torch
from safetensors.torch import load_file, save_file

from ndino.formats.finite import first_non_finite, non_finite_in_folder
from ndino.formats.model_kinds import ModelFolderError
from ndino.train.checkpoints import newest_complete_checkpoint
from ndino.train.engine import run_stage
from ndino.train.health import divergence
from ndino.train.health.divergence import (
    FEWEST,
    MAX_SKIPS,
    SPIKES,
    ZERO_NORMS,
    Diverged,
    DivergenceGuard,
    SpikeDetector,
    events,
)
from ndino.train.health.ending import failure_since
from ndino.train.stage import Stage, StageError
from ndino.train.trainer import NativeTrainer


def quiet(step: int, of: int) -> None: ...


def with_recipe(stage: Stage, **fields) -> Stage:
    return dataclasses.replace(stage, recipe=dataclasses.replace(stage.recipe, **fields))


@pytest.fixture
def spoil(monkeypatch):
    """``spoil(step, …)`` makes the images of these steps NaN, as a faulty decoder would."""
    compute = NativeTrainer.compute_loss

    def spoil(*steps: int) -> None:
        def compute_loss(self, model, inputs, *arguments, **options):
            if self.state.global_step + 1 in steps:
                inputs["tiles"] = inputs["tiles"] * math.nan
            return compute(self, model, inputs, *arguments, **options)

        monkeypatch.setattr(NativeTrainer, "compute_loss", compute_loss)

    return spoil


def test_far_too_high_a_rate_stops_the_run_and_nothing_of_it_is_kept(stage):
    stage = with_recipe(stage, learning_rate=1.0e8, vision_learning_rate=None)
    with pytest.raises(Diverged) as caught:
        run_stage(stage, on_step=quiet)
    said = str(caught.value)
    (event,) = events(stage.out)
    assert (
        f"training diverged at step {event.step}: the loss is nan; learning_rate 1e+08 is most like" in said
    )
    assert (
        "\n" not in said and "skip" not in said and said.index("lower learning_rate") < said.index("look at")
    )
    assert "of rows.jsonl in it" in said and "lower learning_rate" in said and "divergence.json" in said
    assert len(event.rows) == 4 and all(f"{row}" in said for row in event.rows)
    # checkpoint-2, whose weights are finite and ruined, was the start of step 3.
    assert event.step == 3 and event.checkpoint is None
    assert newest_complete_checkpoint(stage.out) is None
    assert not (stage.out / "model").exists() and not (stage.out / "manifest.json").exists()
    assert failure_since(stage.out, 0) == said


@pytest.mark.parametrize(("bad", "kept"), [(5, 2), (6, 4)])
def test_the_last_good_checkpoint_outlives_rotation(stage, spoil, bad, kept):
    # Step 5 is the first from checkpoint-4: until its loss is known, checkpoint-2 has to stay.
    stage = with_recipe(stage, save_total_limit=1)
    spoil(bad)
    with pytest.raises(
        Diverged, match=f"diverged at step {bad}: .*checkpoint-{kept} without this step's batch"
    ):
        run_stage(stage, on_step=quiet)
    assert newest_complete_checkpoint(stage.out).name == f"checkpoint-{kept}"
    with pytest.raises(Diverged, match=f"diverged at step {bad}"):
        run_stage(stage, on_step=quiet)
    assert newest_complete_checkpoint(stage.out).name == f"checkpoint-{kept}"


def test_skipping_goes_back_and_leaves_out_the_batch(stage, spoil, tmp_path, capsys):
    skipping = with_recipe(stage, on_divergence="skip")
    spoil(3, 6)
    steps = []
    run_stage(skipping, on_step=lambda step, of: steps.append(step))
    assert steps == [1, 2, 1, 2, 3, 4, 5, 5, 6]
    manifest = json.loads((stage.out / "manifest.json").read_text())
    assert manifest["skipped_steps"] == [3, 6] and manifest["steps"] == 6
    assert all(math.isfinite(loss) and loss > 0 for _, loss in manifest["loss_curve"])
    assert "back to the start" in (said := capsys.readouterr().out) and "back to checkpoint-4" in said
    assert failure_since(stage.out, 0) is None
    # The same weights as those of a run that stopped and was told to skip when it was started again.
    stopped = dataclasses.replace(stage, out=tmp_path / "stopped")
    with pytest.raises(Diverged):
        run_stage(stopped, on_step=quiet)
    run_stage(with_recipe(stopped, on_divergence="skip"), on_step=quiet)
    ours, theirs = (load_file(run.out / "model" / "model.safetensors") for run in (stage, stopped))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert first_non_finite(ours.items()) is None


def test_a_run_that_diverges_everywhere_skips_only_some_steps(stage, spoil):
    spoil(*range(2, 7))
    with pytest.raises(Diverged, match=f"{MAX_SKIPS} steps were skipped, which is the most") as caught:
        run_stage(with_recipe(stage, on_divergence="skip"), on_step=quiet)
    assert caught.value.event.step == 2 + MAX_SKIPS
    assert [event.skipped for event in events(stage.out)] == [True] * MAX_SKIPS + [False]


def test_weights_that_the_last_update_ruined_are_neither_kept_nor_published(stage):
    # After a step of warm-up at rate 0 comes one at the full rate.
    stage = with_recipe(stage, learning_rate=1.0e39, vision_learning_rate=None, max_steps=2)
    with pytest.raises(Diverged, match=r"diverged at step 2: \S+ is not finite after its update"):
        run_stage(stage, on_step=quiet)
    assert newest_complete_checkpoint(stage.out) is None and not (stage.out / "model").exists()


@pytest.fixture
def kill(monkeypatch):
    """``kill(step, …)`` zeroes the last norm and the head before these steps: a finite loss, no gradient."""
    compute = NativeTrainer.compute_loss

    def kill(*steps: int) -> None:
        def compute_loss(self, model, inputs, *arguments, **options):
            if self.state.global_step + 1 in steps:
                with torch.no_grad():
                    for name, weight in model.named_parameters():
                        if name.endswith(("language_model.norm.weight", "lm_head.weight")):
                            weight.zero_()
            return compute(self, model, inputs, *arguments, **options)

        monkeypatch.setattr(NativeTrainer, "compute_loss", compute_loss)

    return kill


def test_a_dead_model_is_noticed_by_gradients_of_exactly_zero(stage, kill):
    stage = with_recipe(stage, max_steps=9, save_steps=1)
    kill(5, 6, 7, 8, 9)
    with pytest.raises(Diverged, match="diverged at step 5: every gradient is exactly 0") as caught:
        run_stage(stage, on_step=quiet)
    event = caught.value.event
    assert (event.step, event.noticed) == (5, 4 + ZERO_NORMS) and {
        each["step"] for each in event.batches
    } == {*range(5, 5 + ZERO_NORMS)}
    # The update of step 4 gave the weights that step 5 found dead.
    assert newest_complete_checkpoint(stage.out).name == event.checkpoint == "checkpoint-3"
    assert not (stage.out / "model").exists()


def test_a_start_model_that_is_dead_is_named_first(stage, kill):
    kill(1, 2, 3)
    with pytest.raises(Diverged, match=r"diverged at step 1: .*\(remedy: look at the start model"):
        run_stage(stage, on_step=quiet)


def test_fewer_steps_without_a_gradient_stop_no_run(stage, kill):
    stage = with_recipe(stage, max_steps=7)
    kill(2, 3, 5, 6)
    run_stage(stage, on_step=quiet)
    assert events(stage.out) == [] and (stage.out / "model").is_dir()


def test_a_model_that_dies_in_the_last_steps_is_not_published(stage, kill):
    kill(5, 6)
    with pytest.raises(Diverged, match=r"diverged at step 5: every gradient is exactly 0 .* up to the last"):
        run_stage(stage, on_step=quiet)
    assert newest_complete_checkpoint(stage.out).name == "checkpoint-2" and not (stage.out / "model").exists()


def test_finite_weights_that_the_last_update_ruined_are_not_published(stage):
    stage = with_recipe(stage, learning_rate=1.0e30, vision_learning_rate=None, max_steps=2)
    with pytest.raises(Diverged, match="diverged at step 2: the loss is nan after the last step") as caught:
        run_stage(stage, on_step=quiet)
    assert len(caught.value.event.rows) == 4, "the rows of the step that ruined them"
    assert newest_complete_checkpoint(stage.out) is None and not (stage.out / "model").exists()


@pytest.mark.parametrize("ruined", [True, False])
def test_a_spike_in_the_last_step_is_told_from_a_hard_batch(stage, ruined, monkeypatch):
    monkeypatch.setattr(divergence, "FEWEST", 4)
    compute = NativeTrainer.compute_loss

    def compute_loss(self, model, inputs, *arguments, **options):
        last = self.state.global_step + 1 == self.state.max_steps
        if last and ruined:
            with torch.no_grad():
                model.lm_head.weight *= 1000
        return compute(self, model, inputs, *arguments, **options) * (100 if last else 1)

    monkeypatch.setattr(NativeTrainer, "compute_loss", compute_loss)
    if ruined:
        with pytest.raises(Diverged, match=r"step 6: the loss is \S+ after the last step, after a median of"):
            run_stage(stage, on_step=quiet)
    else:
        run_stage(stage, on_step=quiet)
    assert (stage.out / "model").exists() == (not ruined)


def test_a_projector_learns_nothing_from_rows_without_images(stage, rows, tmp_path, monkeypatch):
    """Not a dead model: most of these steps have no image, so that the projector has no gradient."""
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    records = [json.loads(line) for line in (rows / "rows.jsonl").read_text().splitlines()]
    for record in records[1:]:
        del record["image"]
        record["conversations"][0]["value"] = "Che cosa vedi?"
    (mixed / "rows.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    stage = dataclasses.replace(
        with_recipe(
            stage,
            trainable="projector",
            vision_learning_rate=None,
            effective_batch=1,
            per_device_batch=1,
            max_steps=12,
        ),
        data=mixed / "rows.jsonl",
    )
    norms, look = [], DivergenceGuard.on_pre_optimizer_step

    def note(guard, *arguments, **options):
        norms.append(float(guard.norm))
        look(guard, *arguments, **options)

    monkeypatch.setattr(DivergenceGuard, "on_pre_optimizer_step", note)
    run_stage(stage, on_step=quiet)
    assert norms.count(0.0) == 11 and events(stage.out) == []


def test_the_learning_rate_is_named_first_after_several_steps(stage, spoil):
    stage = with_recipe(stage, on_divergence="skip", max_steps=9, save_steps=1)
    spoil(5, 6, 7, 8)
    with pytest.raises(Diverged) as caught:
        run_stage(stage, on_step=quiet)
    said = str(caught.value)
    assert "too high, as training diverged at 4 different steps; row(s) " in said
    assert said.index("train again with a lower learning_rate") < said.index("look at the rows")


def test_a_tensor_that_is_not_finite_is_not_published(stage, monkeypatch):
    gathered = NativeTrainer.gathered_weights

    def damaged(self):
        weights = {name: value.clone() for name, value in gathered(self).items()}
        weights["lm_head.weight"][3, 5] = math.inf
        return weights

    monkeypatch.setattr(NativeTrainer, "gathered_weights", damaged)
    with pytest.raises(StageError, match=r"lm_head\.weight is not finite after the last step, nothing is"):
        run_stage(stage, on_step=quiet)
    assert not (stage.out / "model").exists() and not (stage.out / "manifest.json").exists()


def test_only_several_losses_far_above_the_median_are_a_spike():
    warming_up = SpikeDetector()
    for loss in (11.5, 12.0, *([9.0] * 8), *(8.0 / step for step in range(1, 200))):
        warming_up.add(loss)
        assert not warming_up.in_a_row
    steady = SpikeDetector()
    for _ in range(FEWEST - 1):
        steady.add(0.02)
    steady.add(9.0)
    assert not steady.in_a_row, "too few losses to tell"
    for loss in (2.9, 3.2, 0.02, 3.2):
        steady.add(loss)
    assert steady.in_a_row == 1 and steady.median == 0.02
    for _ in range(SPIKES - 1):
        steady.add(7.0)
    assert steady.in_a_row == SPIKES and steady.median == 0.02, "spikes must not move the median"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_one_value_in_a_tensor_is_found(value, dtype):
    tensor = torch.ones(64, 33, dtype=dtype)
    weights = {"ids": torch.arange(3), "empty": torch.empty(0), "good": torch.ones(2), "bad": tensor}
    assert first_non_finite(weights.items()) is None
    tensor[17, 4] = value
    assert first_non_finite(weights.items()) == "bad"


def test_a_start_that_is_not_finite_is_refused_by_file_and_tensor(stage, backbones, tmp_path):
    for role, folder in stage.start.items():
        ruined = tmp_path / role
        ruined.mkdir()
        for path in folder.iterdir():
            (ruined / path.name).symlink_to(path)
        (ruined / "model.safetensors").unlink()
        weights = load_file(folder / "model.safetensors")
        name = sorted(weights)[3]
        weights[name].view(-1)[0] = math.nan
        save_file(weights, ruined / "model.safetensors", metadata={"format": "pt"})
        assert non_finite_in_folder(ruined) == f"{ruined / 'model.safetensors'}: tensor {name}"
        with pytest.raises(ModelFolderError, match=f"{ruined}/model.safetensors: tensor \\S+ has values"):
            run_stage(dataclasses.replace(stage, **{role: ruined}), on_step=quiet)
    assert not stage.out.exists()
