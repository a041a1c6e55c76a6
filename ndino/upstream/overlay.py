"""Lay files of ours over an upstream tree, and take them off again.

They are linked one by one into real folders, because lmms-eval looks for tasks with ``os.walk``, which does
not follow a linked folder. Editing a file of ours therefore needs no new link, adding one does. The links are
relative, so that the repository can be moved, or bound into a container under another name.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from ndino.upstream.errors import UpstreamError
from ndino.upstream.pins import LMMS_EVAL, LMMS_EVAL_PACKAGE, ROOT, overlays

# Folder of ours -> where it goes in the lmms-eval package.
IN_LMMS_EVAL = {
    folder: path.relative_to(LMMS_EVAL_PACKAGE) for folder, path in overlays(ROOT)[LMMS_EVAL].items()
}


def lmms_eval_folder() -> Path:
    """The installed lmms-eval package, found without importing it (the import takes seconds).

    Raises:
        UpstreamError: lmms-eval is not installed, or not wholly.
    """
    try:
        installed = distribution("lmms_eval")
    except PackageNotFoundError:
        raise UpstreamError("lmms-eval is not installed in this environment (remedy: make setup)") from None
    if (clone := editable_folder()) is not None:
        return clone / LMMS_EVAL_PACKAGE
    # pip writes a package's list of files last: without it the installation was cut off.
    if installed.files is None:
        raise UpstreamError("lmms-eval is only half installed (remedy: make setup)")
    return Path(str(installed.locate_file(LMMS_EVAL_PACKAGE)))


def editable_folder() -> Path | None:
    """The tree that the installed lmms-eval is read from; None if it was installed from its release."""
    about = json.loads(distribution("lmms_eval").read_text("direct_url.json") or "{}")
    if not about.get("dir_info", {}).get("editable"):
        return None
    return Path(url2pathname(urlsplit(about["url"]).path))


def link(package: Path, sources: dict[Path, Path]) -> int:
    """Link our files into ``package`` and drop links to files we no longer have.

    Args:
        package: an upstream tree or package.
        sources: folder of ours -> where it goes, relative to ``package``.

    Returns:
        The number of links made or dropped; 0 when everything was in place.

    Raises:
        UpstreamError: a file of theirs stands where ours should go. Nothing is changed then.
    """
    wanted = {package / path: source for path, source in _files(sources)}
    for path in wanted:
        if os.path.lexists(path) and not _is_ours(path, sources):
            raise UpstreamError(f"{path} is not ours and is left alone (remedy: rename {wanted[path]})")
    changes = 0
    for path in list(_links(package, sources)):
        if path not in wanted:
            path.unlink()
            _remove_empty(path.parent, package)
            changes += 1
    for path, source in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        target = os.path.relpath(source, path.parent.resolve())
        if path.is_symlink() and os.readlink(path) == target:
            continue
        # By way of a temporary name: two processes may link at once, and one may be killed.
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.symlink_to(target)
        temporary.replace(path)
        changes += 1
    return changes


def unlink(package: Path, sources: dict[Path, Path]) -> int:
    """Take our links out of ``package``; returns how many there were."""
    links = list(_links(package, sources))
    for path in links:
        path.unlink()
        _remove_empty(path.parent, package)
    return len(links)


def wanted_links(sources: dict[Path, Path]) -> list[str]:
    """The names, relative to the tree, under which our files are to be found there."""
    return sorted(path.as_posix() for path, _ in _files(sources))


def present_links(package: Path, sources: dict[Path, Path]) -> list[str]:
    """The names, relative to ``package``, of the links to files of ours that are there now."""
    return sorted(path.relative_to(package).as_posix() for path in _links(package, sources))


def _files(sources: dict[Path, Path]) -> Iterator[tuple[Path, Path]]:
    for folder, destination in sources.items():
        real = folder.resolve()
        for source in sorted(real.rglob("*")):
            if source.is_file() and "__pycache__" not in source.parts:
                yield destination / source.relative_to(real), source


def _links(package: Path, sources: dict[Path, Path]) -> Iterator[Path]:
    for root, folders, files in os.walk(package):
        if ".git" in folders:
            folders.remove(".git")
        for name in [*folders, *files]:
            path = Path(root, name)
            if path.is_symlink() and _is_ours(path, sources):
                yield path


def _is_ours(path: Path, sources: dict[Path, Path]) -> bool:
    if not path.is_symlink():
        return False
    target = Path(os.path.normpath(path.parent.resolve() / os.readlink(path)))
    return any(target.is_relative_to(folder.resolve()) for folder in sources)


def _remove_empty(folder: Path, package: Path) -> None:
    # Python's own cache is all that may keep a folder of ours alive.
    while folder != package and {entry.name for entry in folder.iterdir()} <= {"__pycache__"}:
        cache = folder / "__pycache__"
        if cache.exists():
            for compiled in cache.iterdir():
                compiled.unlink()
            cache.rmdir()
        folder.rmdir()
        folder = folder.parent
