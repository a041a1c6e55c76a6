"""What a start of a run says: that it resumes, that it was told to stop, that there is nothing to do."""

from __future__ import annotations

import dataclasses

import pytest

from fixtures.backbones import write_vision_tower
from ndino.train.callbacks import StopOnSignal
from ndino.train.engine import run_stage
from ndino.train.rows.run_index import stage_index
from ndino.train.stage import StageStopped
from tests.train.conftest import interrupt


def test_a_start_says_what_it_does(stage, built, capsys):
    stage = dataclasses.replace(stage, recipe=dataclasses.replace(stage.recipe, save_total_limit=2))
    stage_index(stage, built[1])
    stop = StopOnSignal()
    stop.stop_requested = True
    with pytest.raises(StageStopped, match="run: stopped before training began"):
        run_stage(stage, on_step=lambda *_: None, stop=stop)
    assert not [*stage.out.glob("checkpoint-*")]
    interrupt(stage, at=5)
    assert "resuming" not in capsys.readouterr().out
    state = stage.out / "checkpoint-4" / "optimizer.pt"
    state.write_bytes(bytes(state.stat().st_size))
    model = run_stage(stage, on_step=lambda *_: None)
    said = capsys.readouterr().out
    assert said.count("resuming from") == said.count(f"{stage.out}: resuming from checkpoint-2\n") == 1
    assert run_stage(stage) == model
    assert capsys.readouterr().out == f"{stage.out}: this run is finished, nothing is trained\n"


@pytest.mark.parametrize(
    ("side", "patch", "said"),
    [
        (56, 28, []),
        (
            50,
            14,
            [
                "grid_pinpoints: [[100, 50], [100, 100]], which is the recipe's [[672, 336], [672, 672]] for "
                "tiles of 50 pixels in place of 336",
                "warning: image_size 50 of the vision tower is not a multiple of its patch_size 14: the last "
                "8 pixels of each row and column of a tile are never seen",
            ],
        ),
    ],
)
def test_a_scaled_grid_and_pixels_that_are_never_seen_are_said(stage, tmp_path, capsys, side, patch, said):
    stage = dataclasses.replace(
        stage,
        vision_tower=write_vision_tower(tmp_path / "tower", "clip", image_size=side, patch_size=patch),
        recipe=dataclasses.replace(stage.recipe, grid_pinpoints=((672, 336), (672, 672))),
    )
    stop = StopOnSignal()
    stop.stop_requested = True
    capsys.readouterr()
    with pytest.raises(StageStopped):
        run_stage(stage, stop=stop)
    told = capsys.readouterr().out.splitlines()
    assert [line for line in told if line.startswith(("grid_pinpoints", "warning: image_size"))] == said
