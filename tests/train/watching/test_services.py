"""Curves in TensorBoard, and services that are not installed."""

from __future__ import annotations

import dataclasses

import pytest

from ndino.train.engine import run_stage
from ndino.train.stage import StageError
from ndino.train.watching import services


def test_tensorboard_gets_loss_and_speed(stage, recipe):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    recipe = dataclasses.replace(recipe, report_to="tensorboard", eval_rows=4)
    run_stage(dataclasses.replace(stage, recipe=recipe), on_step=lambda *_: None)
    (folder,) = {path.parent for path in stage.out.rglob("events.out.tfevents.*")}
    curves = EventAccumulator(str(folder))
    curves.Reload()
    assert [point.step for point in curves.Scalars("train/loss")] == list(range(1, 7))
    assert [point.step for point in curves.Scalars("eval/loss")] == [2, 4, 6]
    assert all(point.value > 0 for point in curves.Scalars("train/tokens_per_second"))


@pytest.mark.parametrize("service", ["tensorboard", "wandb", "trackio"])
def test_a_missing_package_is_one_line_before_anything_is_written(stage, recipe, service, monkeypatch):
    monkeypatch.setattr(services, "find_spec", lambda name: None)
    recipe = dataclasses.replace(recipe, report_to=service)
    with pytest.raises(
        StageError, match=rf"package {service} is not installed \(remedy: .*pip install {service}"
    ):
        run_stage(dataclasses.replace(stage, recipe=recipe))
    assert not stage.out.exists()
