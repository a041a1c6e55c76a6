"""Errors that a user can fix, and an error's message as one line."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator

# Characters of a data value, of a path and of a library's message that are shown.
SHOWN_VALUE, SHOWN_PATH, SHOWN_REASON = 80, 300, 400
# Control characters, line ends, changes of the direction of writing, and halves of surrogate pairs.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
# For want of room: the system's numbers, and the words of libraries that pass on none.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_NO_ROOM_SAID = re.compile(
    r"No space left on device|[Dd]isk quota exceeded|disk is full|Not enough disk space"
    r"|^\d+ requested and \d+ written$"  # NumPy
)
# Python, the system and PyTorch, on the CPU and on a GPU.
_NO_MEMORY_SAID = re.compile(r"[Cc]an(?:no|')t allocate memory|out of memory")
# What `datasets` puts around every error of a reader.
_SAYS_NOTHING = "An error occurred while generating the dataset"
_FORBIDDEN = (errno.EACCES, errno.EPERM)
_REMEDIES = {
    **dict.fromkeys(_NO_ROOM, "make room on that disk"),
    errno.EFBIG: "ulimit -f unlimited",
    errno.EMFILE: "ulimit -n 4096",
    errno.EROFS: "choose a folder that can be written",
    **dict.fromkeys(_FORBIDDEN, "ask the owner for chmod -R a+rX, or choose another place"),
}


class UserError(ValueError):
    """Something that the user can put right: one line that says what is wrong, where, and the remedy."""


class UsageError(UserError):
    """A command line that cannot be right, such as a path or a task that does not exist."""


class Stopped(Exception):
    """Work that ended early because it was told to; the message says how far it got."""


class StoppedWatching(Stopped):
    """Ctrl-C ended a command that only watches, which is how to end it: there is nothing to put right."""


def printable(text: str) -> str:
    """``text`` on one line, as a terminal can show it: control characters are escaped, such as ``\\x00``."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def shown(value: object, limit: int = SHOWN_VALUE) -> str:
    """A data value for a message: an image as base64 in place of its name would fill the screen."""
    text = printable(str(value))
    return text if len(text) <= limit else f"{text[: limit // 2]}… ({len(text):,} characters)"


def reason_of(error: BaseException) -> str:
    """An error's message on one line, or its kind where it says nothing.

    Where a library only says that it failed, it is what the system said: that the disk is full, that a file
    may not be read.
    """
    if (refused := _refused(error)) is not None:
        cause, number = refused
        return f"{_path(cause)}: {os.strerror(number)}" if _path(cause) else os.strerror(number)
    if no_room(error):
        return os.strerror(errno.ENOSPC)
    if str(error).startswith(_SAYS_NOTHING) and error.__cause__ is not None:
        return reason_of(error.__cause__)
    text = printable(" ".join(str(error).split()))
    if isinstance(error, OSError) and len(_path(error)) > SHOWN_PATH:
        text = f"{error.strerror}: {shown(_path(error), SHOWN_PATH)}"
    if len(text) > SHOWN_REASON:
        text = f"{text[: SHOWN_REASON // 2]} … {text[-SHOWN_REASON // 4 :]}"
    return text or type(error).__name__


def with_remedy(text: str, remedy: str) -> str:
    """A message with a remedy; with its own, where it is another error's message and already names one."""
    return text if "(remedy: " in text else f"{text} (remedy: {remedy})"


def remedy_for(error: BaseException, otherwise: str) -> str:
    """What to do about an error: what helps against the system's refusal behind it, or ``otherwise``."""
    if (refused := _refused(error)) is not None:
        return _REMEDIES[refused[1]]
    if no_room(error):
        return _REMEDIES[errno.ENOSPC]
    if any(isinstance(each, MemoryError) or _NO_MEMORY_SAID.search(str(each)) for each in _chain(error)):
        return "use a machine with more memory"
    return otherwise


def no_room(error: BaseException) -> bool:
    """Whether an error comes from a disk that is full, or full for this user."""
    refused = _refused(error)
    said = any(_NO_ROOM_SAID.search(str(each)) for each in _chain(error))
    return said or (refused is not None and refused[1] in _NO_ROOM)


def _refused(error: BaseException) -> tuple[OSError, int] | None:
    """The refusal of the system that an error comes from, itself or behind a library's own; its number."""
    found = [
        (each, each.errno) for each in _chain(error) if isinstance(each, OSError) and each.errno in _REMEDIES
    ]
    return found[-1] if found else None


def _path(error: OSError) -> str:
    return os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        yield each
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)
