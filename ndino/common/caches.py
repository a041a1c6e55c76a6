"""Where caches go when the user's own cache folder cannot be written.

The user of a job may have a read-only home, a home that does not exist, or no entry in the password file (a
container that runs under a bare number). The libraries would fail there, some of them half way through. Their
caches go to a folder below the system's temporary folder instead.
"""

from __future__ import annotations

import getpass
import os
import stat
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

NO_HOME = Path("/dev/null")  # nothing can be made below it


def usual_cache_root(environment: Mapping[str, str] = os.environ) -> Path:
    """``$XDG_CACHE_HOME``, by default ``~/.cache``; it may be missing, and may not be writable."""
    return Path(environment.get("XDG_CACHE_HOME") or _home(environment) / ".cache")


def cache_root() -> Path:
    """The usual cache folder where it can be written, else its replacement, which is named on stderr.

    Raises:
        OSError: this machine has no folder that can be written.
    """
    usual = usual_cache_root()
    if not can_write(usual):
        root = _replacement()
        _announce("XDG_CACHE_HOME", usual, root)
        # For the rest of this process and its children, so that it is named once.
        os.environ["XDG_CACHE_HOME"] = str(root)
    return usual_cache_root()


def cache_folder() -> Path:
    """This project's own cache folder, ``ndino`` in `cache_root`; it may be missing.

    Raises:
        OSError: see `cache_root`.
    """
    return cache_root() / "ndino"


def can_write(folder: Path) -> bool:
    """Whether ``folder`` can be written, or be made where it is missing."""
    try:
        for place in (folder, *folder.absolute().parents):
            if place.exists():
                allowed = place.is_dir() and os.access(place, os.W_OK | os.X_OK)
                return allowed and (place == folder or _can_make_folders(place))
    except OSError:  # below a folder that may not be searched
        pass
    return False


def _can_make_folders(place: Path) -> bool:
    # Root is told that it may write to /proc, and to a network file system that denies it.
    try:
        os.rmdir(tempfile.mkdtemp(prefix=".ndino-", dir=place))
    except OSError:
        return False
    return True


def cache_changes(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment variables that give every cache a folder that can be written; empty if all have one.

    What can only be read stays in use: models in a read-only hub cache, the hub's token. The replacement is
    named on stderr.

    Raises:
        OSError: this machine has no folder that can be written.
    """
    home, usual = _home(environment), usual_cache_root(environment)
    hub = Path(environment.get("HF_HOME") or usual / "huggingface")
    folders = {
        "XDG_CACHE_HOME": usual,
        "HF_HOME": hub,
        "HF_DATASETS_CACHE": Path(environment.get("HF_DATASETS_CACHE") or hub / "datasets"),
        # These two do not follow XDG_CACHE_HOME.
        "MPLCONFIGDIR": Path(
            environment.get("MPLCONFIGDIR")
            or Path(environment.get("XDG_CONFIG_HOME") or home / ".config", "matplotlib")
        ),
        "TRITON_CACHE_DIR": Path(environment.get("TRITON_CACHE_DIR") or home / ".triton" / "cache"),
    }
    lost = [name for name, folder in folders.items() if not can_write(folder)]
    changes = {}
    if lost:
        root = _replacement() if "XDG_CACHE_HOME" in lost else usual
        own = root / "ndino"
        places = {"XDG_CACHE_HOME": root, "HF_HOME": own / "huggingface"}
        places["HF_DATASETS_CACHE"] = places["HF_HOME"] / "datasets"
        places |= {"MPLCONFIGDIR": own / "matplotlib", "TRITON_CACHE_DIR": own / "triton"}
        changes = {name: str(places[name]) for name in lost}
        # It may be the one folder below ~/.cache that can be written, as a link to another disk.
        changes.setdefault("HF_HOME", str(hub))
        if "HF_HOME" in lost:
            changes |= _still_read(hub, environment)
        if home == NO_HOME:
            changes["HOME"] = str(root)
        if lost[0] in ("XDG_CACHE_HOME", "HF_HOME", "HF_DATASETS_CACHE"):
            _announce(lost[0], folders[lost[0]], root)
    if not _has_user_name(environment):
        # PyTorch calls a cache after the user.
        changes["USER"] = f"uid{os.getuid()}"
    return changes


def _home(environment: Mapping[str, str]) -> Path:
    # Without HOME and without an entry in the password file, "~" stays as it is.
    home = Path(environment.get("HOME") or os.path.expanduser("~"))
    return home if home.is_absolute() else NO_HOME


def _still_read(hub: Path, environment: Mapping[str, str]) -> dict[str, str]:
    found = {"HF_HUB_CACHE": hub / "hub", "HF_TOKEN_PATH": hub / "token"}
    if "HUGGINGFACE_HUB_CACHE" in environment:  # the older name of HF_HUB_CACHE
        del found["HF_HUB_CACHE"]
    return {
        name: str(path)
        for name, path in found.items()
        if name not in environment and os.access(path, os.R_OK)
    }


def _has_user_name(environment: Mapping[str, str]) -> bool:
    if any(environment.get(name) for name in ("LOGNAME", "USER", "LNAME", "USERNAME")):
        return True
    try:
        return bool(getpass.getuser())
    except (KeyError, OSError):
        return False


def _replacement() -> Path:
    """The folder for caches below the temporary folder: the same in every run, and nobody else's."""
    folder = Path(tempfile.gettempdir(), f"ndino-cache-{os.getuid()}")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and can_write(folder)
    except OSError:
        ours = False
    # Where anybody may write, somebody else may have made it.
    return folder if ours else Path(tempfile.mkdtemp(prefix=f"{folder.name}-"))


def _announce(name: str, lost: Path, root: Path) -> None:
    if os.environ.get("RANK", "0") == "0":
        print(
            f"ndino: {lost} cannot be written, caches go to {root} "
            f"(remedy: set {name} to a folder that can be written)",
            file=sys.stderr,
        )
