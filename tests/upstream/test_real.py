"""The real upstream trees, where they are set up; tests of what is patched are in tests/llava_next/."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ndino.upstream import lmms_eval_folder
from ndino.upstream.checkout import restore, set_up
from ndino.upstream.mirror import Mirrors
from ndino.upstream.pins import LLAVA_NEXT, ROOT, Pin, read_pins
from tests.upstream.conftest import git


@pytest.fixture
def pin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pin:
    """The pin of a second checkout of ours, which fetches from the first one's tree."""
    ours = read_pins()[LLAVA_NEXT]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LLAVA_NEXT_URL", str(ours.folder))
    for name in ("patches", "overlay"):
        (tmp_path / name).symlink_to(ROOT / name)
    overlay = {tmp_path / folder.relative_to(ROOT): path for folder, path in ours.overlay.items()}
    return replace(ours, root=tmp_path, overlay=overlay)


@pytest.mark.upstream
def test_the_patched_tree_differs_from_the_pinned_commit_in_lines_of_ours_alone(pin: Pin):
    assert set_up(pin, Mirrors())
    assert git(pin.folder, "rev-parse", "HEAD") == pin.commit
    changes = git(pin.folder, "diff", "--numstat").splitlines()
    assert {line.split("\t")[2] for line in changes} == set(pin.sha256)
    assert all(line.split("\t")[1] == "0" for line in changes)
    for file in pin.sha256:
        compile((pin.folder / file).read_text(), file, "exec")
    assert not set_up(pin, Mirrors())


@pytest.mark.upstream
def test_unpatch_gives_the_real_pristine_commit_back(pin: Pin):
    set_up(pin, Mirrors())
    assert restore(pin, Mirrors())
    assert git(pin.folder, "status", "--porcelain", "--ignored") == ""
    assert git(pin.folder, "rev-parse", "HEAD") == pin.commit


@pytest.mark.upstream
def test_the_environment_of_the_trainer_reads_our_prompts():
    python = ROOT / ".venv-llava" / "bin" / "python"
    code = (
        "import accelerate, deepspeed, numpy, torch, transformers, ndino.formats.prompts\n"
        "print('versions', *(each.__version__ for each in (transformers, accelerate, numpy, deepspeed)))"
    )
    said = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    pins = (ROOT / "requirements-llava.txt").read_text() + (ROOT / "Makefile").read_text()
    wanted = [
        re.search(rf"{name}==(\S+)", pins)[1] for name in ("transformers", "accelerate", "numpy", "deepspeed")
    ]
    assert said.splitlines()[-1].split() == ["versions", *wanted]


def test_a_second_set_up_of_this_repository_takes_no_time_and_says_nothing(tmp_path):
    """Works without the git host too: nothing is fetched again. CPU time: a busy machine slows a clock."""
    command = [sys.executable, "-m", "ndino.upstream", "setup"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    trace = tmp_path / "trace"
    trace.touch()
    before = os.times()
    said = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"GIT_TRACE": str(trace)},
        check=True,
        capture_output=True,
        text=True,
    )
    after = os.times()
    assert after.children_user + after.children_system - before.children_user - before.children_system < 2
    assert not re.search("fetch|ls-remote|clone", trace.read_text())
    assert said.stdout + said.stderr == ""
    assert (lmms_eval_folder() / "tasks" / "ndino_it" / "ndino_it.yaml").is_file()
