"""Installs lmms-eval into this environment: from its tree if that is set up, otherwise from its release."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from ndino.upstream.errors import UpstreamError
from ndino.upstream.overlay import IN_LMMS_EVAL, editable_folder, lmms_eval_folder, unlink


def install_lmms_eval(tree: Path | None, release: str) -> bool:
    """Install lmms-eval without its dependencies, most of which our tasks do not need.

    Returns whether anything had to be done.

    Raises:
        UpstreamError: pip failed; its output is on the screen.
    """
    if _installed_as(tree, release):
        return False
    print(f"Installing lmms-eval {f'from {tree}' if tree else release} ...", flush=True)
    arguments = ["--no-build-isolation", "--editable", str(tree)] if tree else [f"lmms_eval=={release}"]
    try:
        # pip would leave our links, and the remaining package folder would hide the new installation.
        unlink(lmms_eval_folder(), IN_LMMS_EVAL)
    except UpstreamError:
        # Half installed: pip cannot uninstall it, but can overwrite it.
        arguments = ["--ignore-installed", *arguments]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "install", "--no-deps"]
    if subprocess.run([*pip, *arguments]).returncode:
        raise UpstreamError("lmms-eval could not be installed (remedy: see pip's output above)")
    return True


def _installed_as(tree: Path | None, release: str) -> bool:
    try:
        installed = distribution("lmms_eval")
    except PackageNotFoundError:
        return False
    if tree is not None:
        return installed.files is not None and editable_folder() == tree
    return installed.files is not None and editable_folder() is None and installed.version == release
