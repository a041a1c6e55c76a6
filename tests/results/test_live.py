"""The page of stages that are training."""

from __future__ import annotations

import json
import time

import pytest

from ndino.cli import main
from ndino.results.live import live_stages, write_live
from ndino.results.logs import ResultsError

PROGRESS = {
    "step": 40,
    "of": 100,
    "loss": 1.25,
    "samples_per_second": 12.5,
    "useful_share": 0.98,
    "mfu": 0.41,
    "seconds_per_step": 2.0,
    "loss_curve": [[10, 3.0], [20, 2.0], [30, 1.5], [40, 1.25]],
    "eval_curve": [[20, 2.2], [40, 1.4]],
}


@pytest.fixture
def run(tmp_path):
    """A family's folder with a finished and a running stage."""
    for name, step in (("mlp", 100), ("mlp-pt", 40)):
        folder = tmp_path / "italian" / name
        folder.mkdir(parents=True)
        (folder / "progress.json").write_text(json.dumps({**PROGRESS, "step": step, "time": time.time()}))
    (tmp_path / "italian" / "mlp" / "manifest.json").write_text("{}")
    sample = {
        "step": 40,
        "row": 3,
        "image": "a.png",
        "answer": "un gatto",
        "caption": "<script>alert(1)</script>",
    }
    (tmp_path / "italian" / "mlp-pt" / "samples.jsonl").write_text(json.dumps(sample) + "\n")
    return tmp_path / "italian"


def test_stages_with_their_curves_and_figures(run):
    finished, running = live_stages(run, now=time.time())
    assert (finished.name, finished.finished, finished.left) == ("mlp", True, "")
    assert (running.step, running.of, running.finished, running.left) == (40, 100, False, "2 min 0 s")
    assert dict(running.figures) == {
        "loss": "1.25",
        "samples a second": "12.5",
        "useful share": "98.0%",
        "MFU": "41.0%",
    }
    assert [(chart.title, chart.note) for chart in running.charts] == [
        ("mlp-pt", "last 1.25"),
        ("mlp-pt, held out", "last 1.4"),
    ]


def test_the_page_reloads_while_a_stage_trains_and_escapes_what_a_model_says(run):
    path, _ = write_live(run)
    page = path.read_text()
    assert '<meta http-equiv="refresh" content="30">' in page and "Step 40 of 100" in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page and "<script" not in page
    (run / "mlp-pt" / "manifest.json").write_text("{}")
    assert main(["report", str(run), "--live"]) == 0, "it ends when all stages are finished"
    assert "refresh" not in path.read_text()


def test_a_single_stage_is_a_run_too(run):
    (stage,) = live_stages(run / "mlp-pt", now=time.time())
    assert stage.name == "mlp-pt"


def test_broken_files_are_left_out(run):
    (run / "mlp" / "progress.json").write_text('{"step": 1')
    (run / "mlp-pt" / "samples.jsonl").write_text("not JSON\n")
    values = {
        **PROGRESS,
        "loss": float("nan"),
        "loss_curve": [[1], "x", [2, None], [3, 1.0]],
        "eval_curve": 7,
    }
    (run / "mlp-pt" / "progress.json").write_text(json.dumps(values))
    (stage,) = live_stages(run, now=time.time())
    assert "loss" not in dict(stage.figures) and len(stage.charts) == 1 and not stage.captions


def test_a_run_that_loads_its_model_is_waited_for(tmp_path, capsys, monkeypatch):
    (tmp_path / "mlp").mkdir()
    (tmp_path / "mlp" / ".lock").write_text("")

    def log_a_step(seconds: float) -> None:
        (tmp_path / "mlp" / "progress.json").write_text(json.dumps({**PROGRESS, "time": time.time()}))
        (tmp_path / "mlp" / "manifest.json").write_text("{}")

    monkeypatch.setattr(time, "sleep", log_a_step)
    assert main(["report", str(tmp_path), "--live"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said == [
        f"{tmp_path}: waiting for the first logged step (Ctrl-C ends)",
        f"Page: {tmp_path}/live.html",
    ]


def test_a_folder_without_a_stage_is_refused(tmp_path, capsys):
    with pytest.raises(ResultsError, match="no stage has logged a step"):
        live_stages(tmp_path, now=0.0)
    assert main(["report", str(tmp_path), "--live"]) == 1
    assert "remedy: wait until training has logged its first" in capsys.readouterr().err
