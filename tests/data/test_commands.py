from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from ndino.__main__ import main as ndino
from ndino.data.__main__ import MODULES, main, parser
from ndino.data.errors import DataError
from ndino.data.framework import merge as merging

ROOT = Path(__file__).parents[2]


def commands() -> dict[str, str]:
    """Every data command with its help."""
    (choices,) = [action.choices for action in parser()._actions if action.choices]
    return {name: command.format_help() for name, command in choices.items()}


def test_every_command_has_a_help_that_shows_an_example():
    helps = commands()
    assert len(helps) >= len(MODULES)
    for name, text in helps.items():
        assert f"ndino data {name}" in text.split("positional arguments")[0].partition("Example")[2], name


def test_listing_the_commands_loads_none_of_the_large_libraries():
    code = "import sys; from ndino.data.__main__ import parser; parser(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True).stdout
    assert "ndino.data.sources.cauldron" in loaded.split()
    large = {"torch", "transformers", "pyarrow", "datasets", "ctranslate2", "pandas", "pypdfium2"}
    assert not large & set(loaded.split())


def test_ndino_and_ndino_data_say_what_there_is(capsys):
    assert ndino(["--help"]) == 0
    assert "data" in capsys.readouterr().out
    assert ndino([]) == 2
    assert ndino(["date"]) == 2
    assert "no command 'date'" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        ndino(["data", "--help"])
    assert ended.value.code == 0
    assert "cauldron" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        ndino(["data"])
    assert ended.value.code == 2


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (DataError("x: broken (remedy: mend it)"), 1, "ndino data: x: broken (remedy: mend it)\n"),
        (OSError(errno.ENOSPC, "No space left on device"), 1, "device (remedy: make room on that disk)\n"),
        (KeyboardInterrupt(), 130, "stopped; the same command goes on"),
    ],
)
def test_errors_are_a_line_and_a_status(monkeypatch, capsys, tmp_path, error, status, said):
    def fail(out: Path) -> None:
        raise error

    monkeypatch.setattr(merging, "merge", fail)
    assert main(["merge", str(tmp_path)]) == status
    printed = capsys.readouterr().err
    assert said in printed and "Traceback" not in printed
