"""The commands as tests call them, in this process."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ndino.cli import main


def data(arguments: Sequence[str]) -> int:
    """``ndino data`` with ``arguments``; returns the exit code."""
    return main(["data", *arguments])


def train(arguments: Sequence[str]) -> int:
    """``ndino train`` with ``arguments``; returns the exit code."""
    return main(["train", *arguments])


def perplexity(arguments: Sequence[str]) -> int:
    """``ndino perplexity`` with ``arguments``; returns the exit code."""
    return main(["perplexity", *arguments])


def convert(arguments: Sequence[str]) -> int:
    """``ndino convert`` with ``arguments``; returns the exit code."""
    return main(["convert", *arguments])


def evaluate(arguments: Sequence[str]) -> int:
    """``ndino evaluate`` with ``arguments``; returns the exit code."""
    return main(["evaluate", *arguments])


def refused(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 1) -> str:
    """Call ``ndino`` with ``arguments``; returns the one line, with a remedy, in which it is refused."""
    assert main([str(argument) for argument in arguments]) == code
    message = capsys.readouterr().err
    assert message.startswith(f"ndino {arguments[0]}: ") and "(remedy: " in message
    assert message.count("\n") == 1
    return message
