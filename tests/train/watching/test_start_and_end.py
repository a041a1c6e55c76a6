"""What a start of a run says: that it resumes, that it was told to stop, that there is nothing to do."""

from __future__ import annotations

import dataclasses

import pytest

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
