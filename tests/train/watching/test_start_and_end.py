"""What a start of a run says: that it resumes, that it was told to stop, that there is nothing to do."""

from __future__ import annotations

import pytest

from ndino.train.callbacks import StopOnSignal
from ndino.train.engine import run_stage
from ndino.train.rows.run_index import stage_index
from ndino.train.stage import StageStopped
from tests.train.conftest import interrupt


def test_a_start_says_what_it_does(stage, built, capsys):
    stage_index(stage, built[1])
    stop = StopOnSignal()
    stop.stop_requested = True
    with pytest.raises(StageStopped, match="run: stopped before training began"):
        run_stage(stage, on_step=lambda *_: None, stop=stop)
    assert not [*stage.out.glob("checkpoint-*")]
    interrupt(stage, at=3)
    assert "resuming" not in capsys.readouterr().out
    model = run_stage(stage, on_step=lambda *_: None)
    assert f"{stage.out}: resuming from checkpoint-2\n" in capsys.readouterr().out
    assert run_stage(stage) == model
    assert capsys.readouterr().out == f"{stage.out}: this run is finished, nothing is trained\n"
