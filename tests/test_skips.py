"""A skip that this machine does not excuse fails the run; the others are counted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.skips import allowed, excuse, is_so

ROOT = Path(__file__).parents[1]
NOT_ALLOWED = """
import pytest

def test_that_is_skipped():
    pytest.skip("no mood for it")

@pytest.mark.skipif(True, reason="the weather")
def test_that_is_marked():
    pass

@pytest.fixture
def ground():
    pytest.skip("takes minutes (make test-slurm runs it)")

def test_on_the_ground(ground):
    pass

@pytest.mark.xfail(reason="known")
def test_that_is_known_to_fail():
    assert False

def test_that_passes():
    pass
"""
WHOLE_FILE = """
import pytest
pytest.importorskip("no_such_package", reason="no such package")
"""


def run(folder: Path, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    (folder / "conftest.py").write_text('pytest_plugins = ["tests.skips"]\n')
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", *options, str(folder)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": ""} | variables
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("options", [(), ("--numprocesses", "2")], ids=["alone", "workers"])
def test_a_skip_without_an_excuse_fails(tmp_path, options):
    (tmp_path / "test_a.py").write_text(NOT_ALLOWED)
    done = run(tmp_path, *options, NDINO_TEST_SLURM="")
    last = done.stdout.splitlines()[-1]
    assert done.returncode == 1
    # One in the test itself, one before it.
    assert last.startswith("1 failed, 1 passed, 1 skipped, 1 xfailed, 1 error in ")


def test_what_is_skipped_is_counted_by_surrounding(tmp_path):
    (tmp_path / "test_a.py").write_text(NOT_ALLOWED)
    done = run(tmp_path, "-k", "ground or passes", NDINO_TEST_SLURM="")
    assert done.returncode == 0
    assert "1 skipped: 1 (unset NDINO_TEST_SLURM)" in done.stdout.splitlines()


def test_the_same_reason_fails_where_its_surrounding_is_not(tmp_path):
    (tmp_path / "test_a.py").write_text(NOT_ALLOWED)
    done = run(tmp_path, "-k", "ground or passes", NDINO_TEST_SLURM="1")
    assert done.returncode == 1
    assert "allowed_skips.yaml does not allow it here: takes minutes" in done.stdout


def test_a_file_that_is_skipped_as_a_whole_fails(tmp_path):
    (tmp_path / "test_a.py").write_text(WHOLE_FILE)
    done = run(tmp_path)
    assert done.returncode not in (0, 5)
    assert "does not allow it here: no such package" in done.stdout


def test_the_table_names_surroundings_that_there_are():
    for surrounding in allowed():
        assert is_so(surrounding) in (True, False)
    with pytest.raises(ValueError, match="no such surrounding: full moon"):
        is_so("full moon")


def test_a_stale_upstream_tree_is_no_excuse():
    assert excuse("third_party/LLaVA-NeXT is not up to date (remedy: make setup)") is None
