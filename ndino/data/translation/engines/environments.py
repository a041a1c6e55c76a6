"""Environments in the user's cache folder, for packages that need other versions than ours."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Sequence
from pathlib import Path

from ndino.common.caches import cache_folder
from ndino.common.files import key_of
from ndino.data.errors import DataError


def environment_folder(name: str, pins: Sequence[str]) -> Path:
    """The folder of the environment ``name`` with these packages, whether or not it exists."""
    return cache_folder() / name / key_of(*pins, _current_packages(), sys.version)


def make_environment(name: str, pins: Sequence[str]) -> Path:
    """The Python of the environment ``name``, which is created in the cache folder if need be.

    The environment holds ``pins`` and takes all other packages from the current environment.

    Raises:
        DataError: the packages cannot be installed.
    """
    folder = environment_folder(name, pins)
    python = folder / "bin" / "python"
    if folder.is_dir():
        return python
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Created under a temporary name, so that no other run finds it unfinished. Paths inside an environment
    # are absolute, but neither its Python nor `python -m` uses them, so it can be moved.
    temporary = folder.with_name(f".making.{secrets.token_hex(4)}")
    temporary.mkdir()
    try:
        venv.create(temporary, with_pip=True)
        own = sysconfig.get_path("purelib", vars={"base": str(temporary), "platbase": str(temporary)})
        Path(own, "current.pth").write_text(f"{_current_packages()}\n")
        install = [str(temporary / "bin" / "python"), "-m", "pip", "install", "--quiet", "--upgrade"]
        done = subprocess.run(
            [*install, "--disable-pip-version-check", *pins], capture_output=True, text=True
        )
        if done.returncode:
            raise DataError(
                f"{', '.join(pins)} cannot be installed: {(done.stderr.splitlines() or ['pip failed'])[-1]} "
                "(remedy: run this on a machine that reaches the package index, such as a login node)"
            )
        with contextlib.suppress(OSError):  # another process was faster
            os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return python


def _current_packages() -> str:
    return sysconfig.get_path("purelib")
