"""Files out of Debian packages, fetched once into the user's cache folder; needs no root."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from ndino.common.caches import cache_folder
from ndino.common.files import atomic_folder
from ndino.common.locks import exclusive_lock

REFERENCE = "debian-reference-it"
REFERENCE_PDF = Path("/usr/share/debian-reference/debian-reference.it.pdf")


class DebianError(RuntimeError):
    """A package that cannot be fetched; the message is the reason alone, the remedy is the caller's."""


def fetch_package(
    package: str, suffixes: Sequence[str], *, size: str, say: Callable[[str], object] = print
) -> Path:
    """The folder in which ``package`` is unpacked, of which only files with these suffixes are kept.

    It is fetched where it is not there yet; of several processes one does it and the others wait.

    Args:
        size: of the download, for the user.
        say: called with a line when there is something to wait for.

    Raises:
        DebianError: no apt-get or dpkg, or one of them failed.
        OSError: the cache folder cannot be written.
    """
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    unpacked = cache / package
    busy = f"{package}: waiting for a download that is under way"
    with exclusive_lock(cache / f"{package}.lock", busy, wait=say) as lock:
        if not unpacked.is_dir():
            say(f"{package}: downloading from Debian ({size}), once, into {cache}")
            with atomic_folder(unpacked) as folder:
                _unpack(package, suffixes, folder, lock)
    return unpacked


def reference_pdf(say: Callable[[str], object] = print) -> Path:
    """The Debian reference in Italian, some 270 pages of A4 with a text layer (GPL-2+).

    Installed, or fetched once into the user's cache folder.

    Raises:
        DebianError: it cannot be fetched; the message has the remedy.
        OSError: the cache folder cannot be written.
    """
    if REFERENCE_PDF.is_file():
        return REFERENCE_PDF
    try:
        folder = fetch_package(REFERENCE, (".pdf",), size="2 MB", say=say)
    except DebianError as error:
        raise DebianError(f"{error} (remedy, as root: apt-get update, or install {REFERENCE})") from None
    return folder / REFERENCE_PDF.relative_to("/")


def _unpack(package: str, suffixes: Sequence[str], folder: Path, lock: int) -> None:
    """Fetch and unpack into ``folder``. The programs hold ``lock``, too: they may outlive a killed start."""
    for program in ("apt-get", "dpkg"):
        if shutil.which(program) is None:
            raise DebianError(f"no {program} to fetch Debian's {package} with")
    _run(["apt-get", "download", package], folder, lock)
    archive = next(folder.glob("*.deb"))
    _run(["dpkg", "-x", archive.name, "."], folder, lock)
    archive.unlink()
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix not in suffixes:
            path.unlink()


def _run(command: list[str], folder: Path, lock: int) -> None:
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"LC_ALL": "C"},
        pass_fds=[lock],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        reasons = [line for line in done.stderr.splitlines() if not line.startswith("W:")]
        raise DebianError(
            f"{' '.join(command)} failed: {reasons[0] if reasons else f'exit status {done.returncode}'}"
        )
