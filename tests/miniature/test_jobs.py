"""Jobs in worker processes: order, failures, and that no worker outlives the demo."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from miniature.jobs import Job, JobError, run_jobs

SILENT = Console(file=open(os.devnull, "w"))  # noqa: SIM115 - lives as long as the module


def note(report, folder: Path, name: str, needed: list[str]) -> None:
    assert all((folder / other).exists() for other in needed), f"{name} started too early"
    report(1, 1)
    time.sleep(0.2)
    (folder / name).touch()


def fail(report, message: str) -> None:
    raise ValueError(message)


def crash(report) -> None:
    os._exit(9)


def wait_for_ever(report, mark: Path) -> None:
    mark.write_text(str(os.getpid()))
    time.sleep(600)


def test_jobs_start_after_what_they_need(tmp_path):
    graph = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}
    jobs = [Job(name, note, (tmp_path, name, needs), tuple(needs)) for name, needs in graph.items()]
    outcome = run_jobs(jobs, workers=2, console=SILENT, log=tmp_path / "log")
    assert all((tmp_path / name).exists() for name in graph)
    assert set(outcome.seconds) == set(graph) and min(outcome.seconds.values()) >= 0.2
    assert outcome.peak_rss_mb and min(outcome.peak_rss_mb.values()) > 1


def test_a_failed_job_is_named_with_its_reason_and_stops_the_rest(tmp_path):
    jobs = [Job("bad", fail, ("row 7 is broken",)), Job("after", note, (tmp_path, "after", []), ("bad",))]
    with pytest.raises(JobError, match="bad: row 7 is broken"):
        run_jobs(jobs, workers=2, console=SILENT, log=tmp_path / "log")
    assert not (tmp_path / "after").exists()


def test_a_dead_worker_is_reported(tmp_path):
    with pytest.raises(JobError, match="crash: its worker process died"):
        run_jobs([Job("crash", crash)], workers=1, console=SILENT, log=tmp_path / "log")


MAIN = """
from pathlib import Path
from rich.console import Console
from miniature.jobs import Job, run_jobs
from tests.miniature.test_jobs import wait_for_ever
if __name__ == "__main__":
    folder = Path({folder!r})
    jobs = [Job("wait", wait_for_ever, (folder / "worker",))]
    run_jobs(jobs, workers=1, console=Console(), log=folder / "log")
"""


def stat_of(process: int | str) -> list[str]:
    """State, parent and so on, behind the name, which may hold spaces."""
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()


def children_of(parent: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if int(stat_of(path.name)[1]) == parent:
                found.append(int(path.name))
    return found


def lives(process: int) -> bool:
    try:
        return stat_of(process)[0] != "Z"
    except OSError:
        return False


def test_no_process_outlives_a_killed_parent(tmp_path):
    script = tmp_path / "main.py"
    script.write_text(MAIN.format(folder=str(tmp_path)))
    root = Path(__file__).parents[2]
    parent = subprocess.Popen(
        [sys.executable, str(script)],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)},
        stdout=subprocess.DEVNULL,
    )
    mark = tmp_path / "worker"
    while not (mark.exists() and mark.read_text()):
        assert parent.poll() is None, "ended before its worker began"
        time.sleep(0.1)
    children = children_of(parent.pid)
    assert int(mark.read_text()) in children and len(children) >= 2  # the worker, the queue's manager
    parent.kill()
    parent.wait()
    for _ in range(600):
        if not any(map(lives, children)):
            return
        time.sleep(0.1)
    pytest.fail("a process outlived its parent")
