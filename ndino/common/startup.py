"""What a command does before anything else, so that it works under any locale and any home.

Under a Latin-1 locale Python would read file names as Latin-1 and could not print ``−``; with a home that
cannot be written, the libraries could not cache. Both are settled when an interpreter starts or a library is
imported, so a command that finds them wrong starts itself again under the right environment.
"""

from __future__ import annotations

import atexit
import io
import locale
import os
import sys
from typing import NoReturn

from ndino.common.caches import cache_changes

_STARTED_AGAIN = "NDINO_STARTED_AGAIN"


def prepare_process(*, caches: bool = True) -> None:
    """Text is UTF-8 and caches can be written from here on; children inherit it.

    For the scripts and ``python -m`` commands alone: this may replace the process by itself. Where all is
    well, as under a UTF-8 locale with a home of one's own, it does nothing.

    Args:
        caches: whether the command uses libraries that keep some.

    Raises:
        SystemExit: there is no writable folder for the caches.
    """
    second = os.environ.pop(_STARTED_AGAIN, None) is not None
    try:
        changes = cache_changes() if caches else {}
    except OSError as error:
        sys.exit(f"ndino: no folder for caches: {error} (remedy: set TMPDIR to a folder that can be written)")
    if not _is_utf8(sys.getfilesystemencoding()) or not _is_utf8(locale.getpreferredencoding(False)):
        changes["PYTHONUTF8"] = "1"
    # The C library's own idea of it, which is that of the programs we call.
    if not _is_utf8(locale.nl_langinfo(locale.CODESET)) and (name := _utf8_locale()):
        changes["LC_ALL"] = name
    os.environ.update(changes)
    if changes.keys() - {"LC_ALL"} and not second:
        os.environ[_STARTED_AGAIN] = "1"
        sys.stdout.flush()
        sys.stderr.flush()
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    for stream in (sys.stdout, sys.stderr):
        # A file name may hold bytes that are no UTF-8, and PYTHONIOENCODING may ask for less.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def is_rank() -> bool:
    """Whether a launcher started this process as one rank of several."""
    return "RANK" in os.environ


def end_process(code: int) -> NoReturn:
    """End this process after what was registered for its exit, without taking down the interpreter.

    Threads of PyTorch may still be at work: those of a process group outlive it, and a page may be left while
    a model answers. One that asks for Python's lock while the interpreter is taken down ends the process with
    SIGABRT, and whoever started it takes work that is done for failed.
    """
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _is_utf8(encoding: str) -> bool:
    return encoding.lower().replace("-", "") == "utf8"


def _utf8_locale() -> str | None:
    before = locale.setlocale(locale.LC_CTYPE)
    try:
        for name in ("C.UTF-8", "C.utf8", "en_US.UTF-8"):
            try:
                locale.setlocale(locale.LC_CTYPE, name)
            except locale.Error:
                continue
            return name
    finally:
        locale.setlocale(locale.LC_CTYPE, before)
    return None
