"""The page of stages that are training."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from contextlib import ExitStack

import pytest

from ndino.cli import main
from ndino.common.locks import exclusive_lock
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
    """A family's folder with a finished and a running stage, whose lock is held."""
    with ExitStack() as held:
        yield made(tmp_path, held)


def made(tmp_path, held):
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
    held.enter_context(exclusive_lock(tmp_path / "italian" / "mlp-pt" / ".lock", "busy"))
    return tmp_path / "italian"


@pytest.fixture
def stopped(tmp_path):
    """A stage's folder whose process has ended: the lock's file stays."""
    with ExitStack() as held:
        folder = made(tmp_path, held) / "mlp-pt"
    (folder / ".lock").write_text(f"1 {socket.gethostname()}\n")
    return folder


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

    def log_a_step(seconds: float) -> None:
        (tmp_path / "mlp" / "progress.json").write_text(json.dumps({**PROGRESS, "time": time.time()}))
        (tmp_path / "mlp" / "manifest.json").write_text("{}")

    monkeypatch.setattr(time, "sleep", log_a_step)
    with exclusive_lock(tmp_path / "mlp" / ".lock", "busy"):
        assert main(["report", str(tmp_path), "--live"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said == [
        f"{tmp_path}: waiting for the first logged step (Ctrl-C ends)",
        f"Page: {tmp_path}/live.html",
    ]


def test_a_run_that_has_not_made_its_folder_is_waited_for(tmp_path, capsys, monkeypatch):
    out = tmp_path / "runs" / "mlp"
    progress = json.dumps({**PROGRESS, "time": time.time()})
    steps = [
        lambda: None,
        lambda: out.mkdir(parents=True),
        lambda: held.enter_context(exclusive_lock(out / ".lock", "busy")),
        lambda: (out / "progress.json").write_text(progress),
        lambda: (out / "manifest.json").write_text("{}"),
    ]
    monkeypatch.setattr(time, "sleep", lambda seconds: steps.pop(0)())
    with ExitStack() as held:
        assert main(["report", str(out), "--live"]) == 0
    assert not steps
    assert (
        capsys.readouterr().out.splitlines()[0] == f"{out}: waiting for the first logged step (Ctrl-C ends)"
    )


def test_a_folder_without_a_stage_is_refused(tmp_path, capsys):
    with pytest.raises(ResultsError, match="no stage has logged a step"):
        live_stages(tmp_path, now=0.0)
    assert main(["report", str(tmp_path), "--live"]) == 1
    assert "remedy: wait until training has logged its first" in capsys.readouterr().err


def test_a_stopped_stage_has_ended(stopped, capsys):
    said = "stopped at step 40; rerun its command to resume"
    (stage,) = live_stages(stopped, now=time.time())
    assert (stage.problem, stage.left, stage.ended) == (said, "", True)
    assert main(["report", str(stopped), "--live"]) == 0
    page = (stopped / "live.html").read_text()
    assert f"Step 40 of 100, {said}" in page and "refresh" not in page and "2 min" not in page
    assert capsys.readouterr().out.splitlines()[1:] == [f"mlp-pt: {said}"]


def test_a_failed_stage_says_why_unless_it_was_resumed_since(stopped):
    note = {"reason": "training diverged at step 41 <b>", "time": time.time()}
    (stopped / "failure.json").write_text(json.dumps(note))
    (stage,) = live_stages(stopped, now=time.time())
    assert (stage.problem, stage.left) == ("failed: training diverged at step 41 <b>", "")
    write_live(stopped)
    assert (
        "Step 40 of 100, failed: training diverged at step 41 &lt;b&gt;"
        in (stopped / "live.html").read_text()
    )
    (stopped / "failure.json").write_text(json.dumps({**note, "time": time.time() - 60}))
    assert live_stages(stopped, now=time.time())[0].problem.startswith("stopped at step 40")
    with exclusive_lock(stopped / ".lock", "busy"):
        assert not live_stages(stopped, now=time.time())[0].ended


def test_a_lock_of_another_host_is_judged_by_the_age_of_the_last_step(stopped):
    (stopped / ".lock").write_text("1 elsewhere\n")
    now = time.time()
    assert live_stages(stopped, now=now + 3500)[0].left == "2 min 0 s"
    (stage,) = live_stages(stopped, now=now + 2 * 3600)
    assert stage.ended and not stage.left
    assert stage.problem.startswith(
        "probably stopped at step 40: nothing was logged for 2 h 0 min 0 s, and it ran on"
    )
    assert "elsewhere, whose lock cannot be tested here" in stage.problem


def test_a_start_that_ended_before_its_first_step_is_not_waited_for(tmp_path, capsys):
    (tmp_path / ".lock").write_text(f"1 {socket.gethostname()}\n")
    (tmp_path / "run.json").write_text("{}")
    assert main(["report", str(tmp_path), "--live"]) == 1
    assert "no stage has logged a step here yet" in capsys.readouterr().err


def test_ctrl_c_ends_watching_without_a_remedy(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: os.kill(os.getpid(), signal.SIGINT))
    assert main(["report", str(run), "--live"]) == 130
    assert capsys.readouterr().err == f"\nndino report: stopped watching; {run}/live.html is kept\n"
    (tmp_path / "new").mkdir()
    with exclusive_lock(tmp_path / "new" / ".lock", "busy"):
        assert main(["report", str(tmp_path / "new"), "--live"]) == 130
    assert capsys.readouterr().err == "\nndino report: stopped watching; no page was written\n"
