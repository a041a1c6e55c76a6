"""The commands as tests call them, in this process."""

from __future__ import annotations

from collections.abc import Sequence

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
