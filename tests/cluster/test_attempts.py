"""How an attempt ended: what is started again, and what is not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from ndino.cluster import attempts
from ndino.cluster.attempts import MOST_TRIES, AttemptOutcome
from ndino.train import checkpoints
from ndino.train.checkpoints import mark_complete
from ndino.train.health import ending
from ndino.train.health.ending import note_failure
from ndino.train.health.ranks import ending_together
from ndino.train.resuming.run_folder import write_run
from ndino.train.stage import RefusedStartError, StageError, StageStopped
from tests.cluster.conftest import ROOT, Site

FINISHED, FAILED, RESUME = AttemptOutcome


def save(out: Path, step: int) -> None:
    folder = out / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "trainer_state.json").write_bytes(b"1")
    mark_complete(folder)


def begin(out: Path, job: str = "1") -> None:
    attempts.begin(out, {"SLURM_JOB_ID": job}, nodes=1, ranks=1)


def test_a_manifest_makes_a_stage_finished_whatever_its_exit_status(tmp_path):
    begin(tmp_path)
    (tmp_path / "manifest.json").write_text("{}")
    for status in (0, 1, 134):
        assert attempts.outcome(tmp_path, status)[0] is FINISHED


def test_a_crash_is_tried_again_after_progress_and_a_few_times_without(tmp_path):
    begin(tmp_path)
    assert attempts.outcome(tmp_path, 1)[0] is FAILED, "it never got anywhere"
    for step in (2, 4, 6):
        save(tmp_path, step)
        assert attempts.outcome(tmp_path, 137)[0] is RESUME
        for attempt in range(1, MOST_TRIES + 1):
            begin(tmp_path)
            verdict, line = attempts.outcome(tmp_path, 137)
            assert verdict is (RESUME if attempt < MOST_TRIES else FAILED), line
    begin(tmp_path, job="2")
    assert attempts.outcome(tmp_path, 137)[0] is FAILED, "another job's progress"


def test_a_stop_without_progress_is_not_tried_again(tmp_path):
    begin(tmp_path)
    save(tmp_path, 2)
    assert attempts.outcome(tmp_path)[0] is RESUME
    begin(tmp_path)
    assert attempts.outcome(tmp_path)[0] is FAILED


def test_a_failure_that_names_its_cause_is_not_tried_again(tmp_path, monkeypatch):
    now = time.time()
    monkeypatch.setattr(ending.time, "time", lambda: now - 100)
    note_failure(tmp_path, "of an earlier start")
    monkeypatch.setattr(ending.time, "time", lambda: now)
    begin(tmp_path)
    save(tmp_path, 2)
    assert attempts.outcome(tmp_path, 1)[0] is RESUME
    monkeypatch.setattr(ending.time, "time", lambda: now + 100)
    note_failure(tmp_path, "training diverged at step 3: the loss is nan")
    verdict, line = attempts.outcome(tmp_path, 1)
    assert verdict is FAILED and "diverged at step 3" in line


def test_a_run_whose_checkpoints_are_all_damaged_is_not_started_again(tmp_path):
    begin(tmp_path)
    save(tmp_path, 2)
    (tmp_path / "checkpoint-2" / "trainer_state.json").write_bytes(b"2")
    with pytest.raises(StageError, match=r"checkpoint-2: damaged: .* \(remedy: put a good copy of a checkp"):
        begin(tmp_path)
    assert len(json.loads((tmp_path / "job.json").read_text())) == 1


@pytest.mark.parametrize("content", ["{", "[]", "[7]", '{"a": 1}', '[{"job": "7"}]'])
def test_a_damaged_list_of_attempts_keeps_no_run_from_its_end(tmp_path, capsys, content):
    begin(tmp_path)
    (tmp_path / "job.json").write_text(content)
    attempts.end(tmp_path)
    save(tmp_path, 2)
    assert attempts.outcome(tmp_path, 1)[0] is AttemptOutcome.RESUME
    begin(tmp_path)
    assert len(json.loads((tmp_path / "job.json").read_text())) == 1
    assert capsys.readouterr().err.count("job.json: ") == (content != "[]")


@pytest.mark.parametrize("a_job", [True, False])
def test_an_error_that_a_rank_explains_is_noted_for_its_job(tmp_path, a_job):
    if a_job:
        begin(tmp_path)
    for error in (
        StageError("rows.jsonl: no usable row"),
        RuntimeError("CUDA error"),
        StageStopped("stopped"),
    ):
        with pytest.raises(type(error)), ending_together(tmp_path):
            raise error
    assert ending.failure_since(tmp_path, 0) == ("rows.jsonl: no usable row" if a_job else None)


@pytest.mark.parametrize("begun", [True, False], ids=["resumed", "started"])
@pytest.mark.parametrize(
    ("error", "reason", "repeats"),
    [
        (StageError("run: the disk is full"), "run: the disk is full", True),
        (MemoryError(), "MemoryError: ", False),
        (PermissionError(13, "Permission denied", "rows.jsonl"), "rows.jsonl: ", False),
        (RuntimeError("CUDA error"), "RuntimeError: CUDA error", False),
        (StageStopped("stopped"), None, None),
        (RefusedStartError("holds another run"), None, None),
    ],
)
def test_whatever_ends_a_start_of_a_run_is_noted_for_the_page(tmp_path, error, reason, repeats, begun):
    if begun:
        write_run(tmp_path, {})
    with pytest.raises(type(error)), ending_together(tmp_path):
        if not begun:
            write_run(tmp_path, {})
        raise error
    noted = tmp_path / "failure.json"
    assert noted.exists() == (reason is not None)
    if reason is not None:
        note = json.loads(noted.read_text())
        assert note["reason"].startswith(reason) and note["repeats"] == repeats
        # A job starts a run again whose failure may not come again.
        assert (ending.failure_since(tmp_path, 0) is not None) == repeats
        write_run(tmp_path, {})
        assert not noted.exists(), "the next start has begun"


def test_an_attempt_reads_the_contents_of_its_checkpoint_once(tmp_path, monkeypatch):
    save(tmp_path, 2)
    read = []
    monkeypatch.setattr(checkpoints, "damaged_files", lambda path: read.append(path.name) or [])
    for restart in ("0", "1"):
        environment = {"SLURM_JOB_ID": "7", "SLURM_RESTART_COUNT": restart}
        attempts.begin(tmp_path, environment, nodes=1, ranks=1)
        with monkeypatch.context() as job:
            for name, value in environment.items():
                job.setenv(name, value)
            checkpoints.settle_checkpoints(tmp_path)  # as the engine does
        assert read == ["checkpoint-2"] * (1 + int(restart))
    checkpoints.settle_checkpoints(tmp_path)  # in a shell, later
    assert len(read) == 3
    save(tmp_path, 4)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    checkpoints.settle_checkpoints(tmp_path)
    assert read[3:] == ["checkpoint-4"], "one that this attempt has not compared"


SRUN = """#!/bin/bash
# In place of SLURM's: what the ranks leave behind, and a launcher's exit status.
mkdir -p "$LEAVES"
if [ "$LEAVES" = "$OUT/checkpoint-2" ]; then
  echo '{}' >"$LEAVES/trainer_state.json"
  echo '{"trainer_state.json": 3}' >"$LEAVES/whole.json"
  exit 1
fi
echo '{}' >"$OUT/manifest.json"
exit 134
"""
SCONTROL = """#!/bin/bash
[ "$1" != show ] || echo "JobState=RUNNING $2"
echo "$*" >>"$CALLS"
"""


@pytest.mark.parametrize(
    ("leaves", "requeued", "said"),
    [
        ("checkpoint-2", True, "crashed (status 1) after step 2, will be resumed"),
        ("model", False, "finished"),
    ],
)
def test_train_sh_believes_the_run_s_folder(login: Site, tmp_path, leaves, requeued, said):
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in {"srun": SRUN, "scontrol": SCONTROL}.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    out = login.runs / "mlp"
    done = login.call(
        "launch/train_from_llm.sh",
        "mlp",
        PATH=f"{programs}:{os.environ['PATH']}",
        SLURM_JOB_ID="7",
        SLURM_SUBMIT_DIR=str(ROOT),
        SLURM_NNODES="1",
        SLURM_GPUS_ON_NODE="1",
        SLURM_JOB_NODELIST="node0",
        MASTER_ADDR="127.0.0.1",
        OUT=str(out),
        LEAVES=str(out / leaves),
        CALLS=str(tmp_path / "calls"),
    )
    assert done.returncode == 0, done.stderr
    assert said in done.stdout
    calls = (tmp_path / "calls").read_text() if (tmp_path / "calls").exists() else ""
    assert ("requeue 7" in calls) == requeued


APPTAINER = """#!/bin/bash
# In place of Apptainer: preparing takes long, everything else nothing.
case " $* " in *" prepare "*)
  touch "$STARTED"
  exec sleep 60 ;;
esac
"""


def test_a_job_that_is_warned_while_it_indexes_is_requeued_at_once(login: Site, tmp_path):
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in {"apptainer": APPTAINER, "scontrol": SCONTROL, "srun": "#!/bin/bash"}.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    started, calls = tmp_path / "started", tmp_path / "calls"
    environment = {
        **os.environ,
        **login.settings,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "ENGINE": "llava-next",
        "NATIVE_IMAGE": str(programs / "apptainer"),
        "SLURM_JOB_ID": "7",
        "SLURM_SUBMIT_DIR": str(ROOT),
        "SLURM_NNODES": "1",
        "SLURM_GPUS_ON_NODE": "1",
        "SLURM_JOB_NODELIST": "node0",
        "STARTED": str(started),
        "CALLS": str(calls),
    }
    job = subprocess.Popen(
        ["launch/train_from_llm.sh", "mlp"], cwd=ROOT, env=environment, start_new_session=True
    )
    try:
        limit = time.monotonic() + 30
        while not started.exists():
            assert job.poll() is None and time.monotonic() < limit
            time.sleep(0.02)
        job.send_signal(signal.SIGUSR1)
        assert job.wait(20) == 0
    finally:
        os.killpg(job.pid, signal.SIGKILL)  # as SLURM ends what a requeued job left
    assert "requeue 7" in calls.read_text()
