from __future__ import annotations

import errno
from pathlib import Path

import pytest

from ndino.cli import main as ndino
from ndino.cli import parser
from ndino.data.command import MODULES
from ndino.data.errors import DataError
from ndino.data.framework import merge as merging

ROOT = Path(__file__).parents[2]


def test_every_module_brings_a_command():
    (choices,) = [action.choices for action in parser("data")._actions if action.choices]
    # benchmarks and native share evaluation-folders.
    assert len(choices) == len(MODULES) + 1


def test_a_command_of_data_must_be_named(capsys):
    with pytest.raises(SystemExit) as ended:
        ndino(["data"])
    assert ended.value.code == 2
    assert "COMMAND" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (DataError("x: broken (remedy: mend it)"), 1, "ndino data merge: x: broken (remedy: mend it)\n"),
        (OSError(errno.ENOSPC, "No space left on device"), 1, "device (remedy: make room on that disk)\n"),
        (KeyboardInterrupt(), 130, "ndino data merge: stopped (remedy: rerun to resume)\n"),
    ],
)
def test_errors_are_a_line_and_a_status(monkeypatch, capsys, tmp_path, error, status, said):
    def fail(out: Path) -> None:
        raise error

    monkeypatch.setattr(merging, "merge", fail)
    assert ndino(["data", "merge", str(tmp_path)]) == status
    printed = capsys.readouterr().err
    assert said in printed and "Traceback" not in printed
