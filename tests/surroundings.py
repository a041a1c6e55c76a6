"""Surroundings that a command may meet: a Latin-1 locale, a user who is not root."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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


@dataclass(frozen=True)
class User:
    """A user without root's rights: the id, and the words in front of a command that is the user's."""

    id: int
    become: tuple[str, ...] = ()

    def command(self, *words: str | Path) -> list[str]:
        return [*self.become, *map(str, words)]


@functools.cache
def user_without_rights() -> User:
    """Whoever runs the tests, where that is not root; else nobody, or root without the rights of root where
    nobody may not read Python's own folder. The test is skipped where root cannot become another user."""
    if os.geteuid():
        return User(os.geteuid())
    if not shutil.which("setpriv"):
        pytest.skip("needs root, who can become a user without rights")
    others = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--")
    nobody = User(NOBODY, others)
    # From a shell of that user: the first program is still found with root's rights.
    started = nobody.command("sh", "-c", '"$0" -c "import torch"', sys.executable)
    if subprocess.run(started, cwd="/", capture_output=True).returncode == 0:
        return nobody
    return User(0, ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--"))


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
