"""Provenance for manifests: our commit and the versions of installed packages."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def commit() -> str | None:
    """The commit of the checkout that this package is in; None if it is not in a Git checkout."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Versions by name of those ``packages`` that are installed."""
    found = {name: _version(name) for name in packages}
    return {name: number for name, number in found.items() if number}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
