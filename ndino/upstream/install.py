"""lmms-eval in this environment: from its tree where there is one, from its release otherwise."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from ndino.upstream.errors import UpstreamError
from ndino.upstream.overlay import IN_LMMS_EVAL, editable_folder, lmms_eval_folder, unlink


def install_lmms_eval(tree: Path | None, release: str) -> bool:
    """Install it without its dependencies, of which our tasks need few; True if anything had to be done.

    Raises:
        UpstreamError: pip failed; its own words are on the screen.
    """
    if _installed_as(tree, release):
        return False
    print(f"Installing lmms-eval {f'from {tree}' if tree else release} ...", flush=True)
    arguments = ["--no-build-isolation", "--editable", str(tree)] if tree else [f"lmms_eval=={release}"]
    try:
        # pip leaves our links behind, and what they leave of a package would hide the other one.
        unlink(lmms_eval_folder(), IN_LMMS_EVAL)
    except UpstreamError:
        # Half installed: pip cannot take it away, but can write over it.
        arguments = ["--ignore-installed", *arguments]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "install", "--no-deps"]
    if subprocess.run([*pip, *arguments]).returncode:
        raise UpstreamError("lmms-eval could not be installed; pip's own words stand above")
    return True


def _installed_as(tree: Path | None, release: str) -> bool:
    try:
        installed = distribution("lmms_eval")
    except PackageNotFoundError:
        return False
    if tree is not None:
        return installed.files is not None and editable_folder() == tree
    return installed.files is not None and editable_folder() is None and installed.version == release
