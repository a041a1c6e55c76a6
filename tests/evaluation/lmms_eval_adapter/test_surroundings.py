from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from ndino.evaluation.lmms_eval_adapter.surroundings import (
    DATASETS_CACHE,
    go_offline,
    logged_errors,
    quiet_libraries,
    set_library_environment,
    task_environment,
    working_directory,
)
from ndino.evaluation.shuffle import VARIABLE, requested


def test_the_working_directory_is_restored_after_an_error_too(tmp_path):
    before = Path.cwd()
    with pytest.raises(ValueError, match="inside"), working_directory(tmp_path):
        assert Path.cwd() == tmp_path
        raise ValueError("inside")
    assert Path.cwd() == before
    with working_directory(None):
        assert Path.cwd() == before


@pytest.mark.parametrize("before", [None, "elsewhere"])
def test_a_tasks_environment_is_set_remembered_and_restored(tmp_path, monkeypatch, before):
    from lmms_eval.api.task import _resolve_hf_datasets_cache_dir as remembered

    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.delenv(DATASETS_CACHE, raising=False)
    if before:
        monkeypatch.setenv(DATASETS_CACHE, str(tmp_path / before))
    for shuffled, name in [(2, "one"), (0, "two")]:
        with task_environment(shuffled=shuffled, cache=tmp_path / name):
            assert requested() == shuffled
            assert remembered() == str(tmp_path / name)
    assert VARIABLE not in os.environ
    assert os.environ.get(DATASETS_CACHE) == (before and str(tmp_path / before))
    with task_environment(shuffled=False, cache=None):
        assert os.environ.get(DATASETS_CACHE) == (before and str(tmp_path / before))


def test_progress_bars_of_libraries_are_swallowed_and_errors_are_not(capfd):
    with pytest.raises(RuntimeError, match="broken"), quiet_libraries():
        print("50%|#####     |", file=sys.stderr)
        raise RuntimeError("broken")
    print("after", file=sys.stderr)
    assert capfd.readouterr().err.endswith("after\n")


def test_swallowed_bars_do_not_reach_the_terminal(capsys):
    with quiet_libraries():
        print("50%|#####     |", file=sys.stderr)
    assert capsys.readouterr().err == ""


def test_logged_errors_are_collected_only_meanwhile():
    from loguru import logger

    with logged_errors() as messages:
        logger.error("first")
        logger.warning("a warning")
    logger.error("afterwards")
    assert messages == ["first"]


def test_variables_are_those_that_the_libraries_read(monkeypatch):
    for name in ("HF_DATASETS_DISABLE_PROGRESS_BARS", "HF_HUB_OFFLINE"):
        monkeypatch.setenv(name, "unset")  # restored after the test
        monkeypatch.delenv(name)
    set_library_environment()
    assert os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] == "1" and "HF_HUB_OFFLINE" not in os.environ
    go_offline()
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    monkeypatch.setenv("HF_DATASETS_DISABLE_PROGRESS_BARS", "0")
    set_library_environment()
    assert os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] == "0"
