from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ndino.common.locks import BusyError, exclusive_lock

HOLD = """
import subprocess, sys
from pathlib import Path
from ndino.common.locks import exclusive_lock
with exclusive_lock(Path(sys.argv[1]), "") as held:
    if len(sys.argv) > 2:
        child = subprocess.Popen(["sleep", "600"], pass_fds=[held], stdout=subprocess.DEVNULL)
        print(child.pid, flush=True)
    else:
        print("held", flush=True)
    input()
"""


def hold(path: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLD, str(path), *more]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_lock_is_held_until_the_process_is_killed(tmp_path, kind):
    path = tmp_path / "lock"
    if kind == "folder":
        path.mkdir()
    with hold(path) as holder:
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(BusyError, match=r"^another run holds it$"),
            exclusive_lock(path, "another run holds it"),
        ):
            pass
        holder.kill()
        holder.wait()
        with exclusive_lock(path, "busy"):
            pass
    assert list(tmp_path.iterdir()) == [path]


def test_with_wait_it_tells_once_and_waits(tmp_path):
    said = []
    with hold(tmp_path / "lock") as holder:
        holder.stdout.readline()

        def wait(busy: str) -> None:
            said.append(busy)
            holder.kill()

        with exclusive_lock(tmp_path / "lock", "busy", wait=wait):
            assert holder.wait() != 0
    assert said == ["busy"]


def test_a_program_that_inherits_the_lock_holds_it_after_its_parent(tmp_path):
    with hold(tmp_path / "lock", "with a child") as holder:
        child = int(holder.stdout.readline())
        holder.kill()
        holder.wait()
        with pytest.raises(BusyError), exclusive_lock(tmp_path / "lock", "busy"):
            pass
        os.kill(child, 9)
    with exclusive_lock(tmp_path / "lock", "busy", wait=print):
        pass


def test_where_there_are_no_locks_a_warning_says_so(tmp_path, monkeypatch, capsys):
    def no_locks(*arguments: object) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with exclusive_lock(tmp_path / "lock", "busy"):
        pass
    assert f"{tmp_path / 'lock'}: no locks here (" in capsys.readouterr().err
