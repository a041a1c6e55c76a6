"""Download Debian packages into the user's cache folder and unpack files from them, without root."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from ndino.common.caches import cache_folder
from ndino.common.files import atomic_folder
from ndino.common.locks import exclusive_lock

# The languages of the Debian reference, as its packages call them.
REFERENCES = ("de", "en", "es", "fr", "id", "it", "ja", "pt")
REFERENCE_FOLDER = Path("/usr/share/debian-reference")


class DebianError(RuntimeError):
    """A package cannot be downloaded. The message has no remedy; callers add theirs."""


def fetch_package(
    package: str, suffixes: Sequence[str], *, size: str, say: Callable[[str], object] = print
) -> Path:
    """Unpack ``package``, keeping only files with these suffixes, and return the folder.

    It is downloaded only once. If several processes need it, one downloads and the others wait.

    Args:
        size: size of the download, for the message.
        say: called with a line when there is something to wait for.

    Raises:
        DebianError: apt-get or dpkg is missing or failed.
        OSError: the cache folder cannot be written.
    """
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    unpacked = cache / package
    busy = f"{package}: waiting for another process to download it"
    with exclusive_lock(cache / f"{package}.lock", busy, wait=say) as lock:
        if not unpacked.is_dir():
            say(f"{package}: downloading from Debian ({size}), once, into {cache}")
            with atomic_folder(unpacked) as folder:
                _unpack(package, suffixes, folder, lock)
    return unpacked


def has_reference(lang: str) -> bool:
    """Whether Debian has its reference in the language."""
    return lang in REFERENCES


def reference_pdf(lang: str, say: Callable[[str], object] = print) -> Path:
    """Find the Debian reference in a language: about 270 A4 pages with a text layer (GPL-2+).

    It is either installed or downloaded once into the user's cache folder.

    Raises:
        DebianError: it cannot be downloaded; the message includes a remedy.
        OSError: the cache folder cannot be written.
    """
    package, pdf = f"debian-reference-{lang}", REFERENCE_FOLDER / f"debian-reference.{lang}.pdf"
    if pdf.is_file():
        return pdf
    try:
        folder = fetch_package(package, (".pdf",), size="2 MB", say=say)
    except DebianError as error:
        raise DebianError(f"{error} (remedy, as root: apt-get update, or install {package})") from None
    return folder / pdf.relative_to("/")


def _unpack(package: str, suffixes: Sequence[str], folder: Path, lock: int) -> None:
    """Download and unpack into ``folder``.

    The programs inherit ``lock``, as they may outlive this process.
    """
    for program in ("apt-get", "dpkg"):
        if shutil.which(program) is None:
            raise DebianError(f"no {program} to download Debian's {package} with")
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
