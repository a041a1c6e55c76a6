"""The folder of a run: whose it is, and one process at a time."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ndino.common.errors import UsageError
from ndino.common.locks import exclusive_lock
from ndino.train.checkpoints import mark_complete
from ndino.train.resuming import run_folder
from ndino.train.resuming.distribution import planned
from ndino.train.resuming.run_folder import (
    IN_RANDOM_ORDER,
    RunInUseError,
    belongs_to,
    claimed,
    in_use,
    require_resumable,
)
from ndino.train.stage import StageError
from tests.train.conftest import ROOT

RUN = {"recipe": {"seed": 1}, "start": {"model": "a"}}
HOLD = """
import os, sys
from pathlib import Path
from ndino.train.resuming.run_folder import claimed
with claimed(Path(sys.argv[1])):
    if sys.argv[2:]:
        child = os.fork()
        if child == 0:
            sys.stdin.read()
            os._exit(0)
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Starts a process that claims ``tmp_path / "run"``, and ends it."""
    started = []

    def start(*arguments: str) -> subprocess.Popen:
        command = [sys.executable, "-c", HOLD, str(tmp_path / "run"), *arguments]
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def checkpoint(out: Path, step: int = 2) -> Path:
    folder = out / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "trainer_state.json").write_text("{}")
    mark_complete(folder)
    return folder


def test_a_folder_belongs_to_one_run(tmp_path):
    assert not belongs_to(tmp_path, RUN) and not belongs_to(tmp_path / "nowhere", RUN)
    (tmp_path / "run.json").write_text(json.dumps(RUN))
    assert belongs_to(tmp_path, RUN)
    with pytest.raises(
        StageError,
        match=r"another recipe \(seed 1, now 2\) and another start \(model a, now b\) \(remedy: put",
    ):
        belongs_to(tmp_path, {"recipe": {"seed": 2}, "start": {"model": "b"}})
    with pytest.raises(StageError, match=r"another engine \(native, now llava-next\)"):
        belongs_to(tmp_path, {**RUN, "engine": "llava-next"})


@pytest.mark.parametrize("content", ["{", "[]", "7", "", '{"recipe": []}', '{"data": "x"}', '{"start": 1}'])
def test_an_identity_that_cannot_be_read_is_not_another_run(tmp_path, content):
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(StageError, match=r"run\.json: .*, so it is not known which run this is \(remedy: "):
        belongs_to(tmp_path, RUN)


@pytest.mark.parametrize("left", ["checkpoint-2", "model", "upstream", "manifest.json"])
def test_results_without_an_identity_are_of_an_unknown_run(tmp_path, left):
    (tmp_path / left).mkdir()
    with pytest.raises(StageError, match=rf"holds {left} but no run\.json, .*put the file back"):
        belongs_to(tmp_path, RUN)


def test_a_run_of_the_upstream_engine_in_groups_by_length_is_not_resumed(tmp_path):
    run = {**RUN, "engine": "llava-next"}
    (tmp_path / "run.json").write_text(json.dumps(run))
    require_resumable(tmp_path, planned("ddp", 1))
    checkpoint(tmp_path)
    with pytest.raises(StageError, match=r"checkpoint-2: .*grouped by length; .*another --out"):
        require_resumable(tmp_path, planned("ddp", 1))
    assert belongs_to(tmp_path, run), "a finished one stays finished"
    (tmp_path / "run.json").write_text(json.dumps({**run, **IN_RANDOM_ORDER}))
    require_resumable(tmp_path, planned("ddp", 1))


def test_a_second_process_is_told_who_is_at_work(holder, tmp_path):
    first = holder()
    said = f"process {first.pid} on {socket.gethostname()} is at work in it (remedy: wait for it, "
    assert said in in_use(tmp_path / "run")
    with pytest.raises(RunInUseError) as refused, claimed(tmp_path / "run"):
        pytest.fail("claimed twice")
    assert said in str(refused.value) and str(tmp_path / "run" / ".lock") in str(refused.value)
    first.kill()
    first.wait()
    with claimed(tmp_path / "run"):
        assert (tmp_path / "run" / ".lock").read_text().split()[0] == str(os.getpid())
        assert in_use(tmp_path / "run") is None
        holding = subprocess.run(
            [sys.executable, "-c", HOLD, str(tmp_path / "run")], cwd=ROOT, input="", text=True
        )
        assert holding.returncode == 0, "what it starts belongs to it"
    assert in_use(tmp_path / "run") is None


def test_loader_workers_that_outlive_their_process_are_waited_for(holder, tmp_path, capsys, monkeypatch):
    first = holder("and a worker")
    first.kill()
    first.wait()
    pause = time.sleep

    def ends_meanwhile(seconds: float) -> None:
        first.communicate()  # closes what the worker reads, and waits for its end
        pause(seconds)

    monkeypatch.setattr(time, "sleep", ends_meanwhile)
    with claimed(tmp_path / "run"):
        monkeypatch.undo()
    assert "is at work in it" in (said := capsys.readouterr().err) and "waiting 15 seconds at most" in said
    # In a job, the lock of a node that died is waited for, whoever holds it.
    second = holder()
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setattr(run_folder, "JOB_PATIENCE_SECONDS", 0.5)
    begun = time.monotonic()
    with pytest.raises(RunInUseError, match=f"process {second.pid} on "), claimed(tmp_path / "run"):
        pytest.fail("claimed twice")
    assert time.monotonic() - begun > 0.5


def test_a_lock_that_was_removed_by_hand_does_not_let_two_in(tmp_path, holder):
    with claimed(tmp_path / "run"):
        (tmp_path / "run" / ".lock").unlink()
    first = holder()
    with pytest.raises(RunInUseError, match=str(first.pid)), claimed(tmp_path / "run"):
        pytest.fail("claimed twice")


def test_a_folder_that_a_refused_start_removes_meanwhile_is_made_again(tmp_path, monkeypatch):
    removed = []

    def lock(path, busy):
        if not removed:
            removed.append(path)
            path.parent.rmdir()
        return exclusive_lock(path, busy)

    monkeypatch.setattr(run_folder, "exclusive_lock", lock)
    with claimed(tmp_path / "run"):
        assert (tmp_path / "run" / ".lock").read_text().split()[0] == str(os.getpid())
    assert removed


def test_a_folder_in_which_nothing_was_written_is_removed_again(tmp_path):
    with pytest.raises(KeyError), claimed(tmp_path / "a" / "run"):
        raise KeyError
    assert not (tmp_path / "a" / "run").exists()
    (tmp_path / "b").mkdir()
    with claimed(tmp_path / "b"):
        pass
    assert (tmp_path / "b").is_dir(), "it was there before"


@pytest.mark.parametrize("out", ["file", "file/run"])
def test_a_file_in_the_way_is_a_wrong_command_line(tmp_path, out):
    (tmp_path / "file").touch()
    refused = pytest.raises(UsageError, match=r"file: is a file, not a folder \(remedy: ")
    with refused, claimed(tmp_path / out):
        pytest.fail("claimed a file")


def test_other_ranks_leave_the_claim_to_the_first(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    with claimed(tmp_path / "run"):
        assert not (tmp_path / "run").exists()


def test_importing_it_loads_no_pytorch():
    code = "import sys, ndino.train.resuming.run_folder; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]
