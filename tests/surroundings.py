"""Surroundings that a command may meet: a Latin-1 locale, a user who is not root."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NOBODY = 65534


def latin1_locale(folder: Path) -> dict[str, str]:
    """The environment of an Italian Latin-1 locale, made below ``folder``; the test is skipped without it."""
    if not Path("/usr/share/i18n/charmaps/ISO-8859-1.gz").exists() or not shutil.which("localedef"):
        pytest.skip("needs the Debian package locales, which makes a Latin-1 locale")
    made = folder / "it_IT.ISO-8859-1"
    # It warns of what the system's own locale is, and ends with 1 although the locale is there.
    subprocess.run(["localedef", "-i", "it_IT", "-f", "ISO-8859-1", made], capture_output=True)
    assert (made / "LC_CTYPE").exists()
    return {"LOCPATH": str(folder), "LC_ALL": "it_IT.ISO-8859-1"}


def as_nobody(command: list[str | Path]) -> list[str]:
    """``command`` as a user without rights; the test is skipped where it is not started by root."""
    if os.getuid() or not shutil.which("setpriv"):
        pytest.skip("needs root, who can become a user without rights")
    setpriv = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--"]
    if subprocess.run([*setpriv, sys.executable, "-c", "import ndino"], capture_output=True).returncode:
        pytest.skip("needs an environment and a checkout that other users can read")
    return [*setpriv, *map(str, command)]


def on_a_full_disk(folder: Path, command: list[str | Path], *, kilobytes: int = 64) -> list[str]:
    """``command`` with a disk of a few kilobytes in the place of ``folder``; skipped where not root."""
    mount = f"mount -t tmpfs -o size={kilobytes}k tmpfs"
    private = ["unshare", "--mount", "sh", "-c"]
    if subprocess.run([*private, f'{mount} "$0"', folder], capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root")
    return [*private, f'{mount} "$0" && exec "$@"', *map(str, [folder, *command])]


@contextmanager
def open_folder(name: str) -> Iterator[Path]:
    """A folder that every user may enter, called ``name``; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory(prefix="ndino-surroundings-", ignore_cleanup_errors=True) as above:
        Path(above).chmod(0o755)
        folder = Path(above) / name
        folder.mkdir()
        yield folder
