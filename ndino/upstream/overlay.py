"""Links our files into an upstream tree, and removes the links again.

Each file is linked by itself into a real folder, because lmms-eval looks for tasks with ``os.walk``, which
does not follow links to folders. So an edited file needs no new link, but an added one does. Links are
relative: the repository can be moved, or mounted in a container under another path.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from ndino.common.parsing import parse_json
from ndino.upstream.errors import UpstreamError
from ndino.upstream.pins import LMMS_EVAL, LMMS_EVAL_PACKAGE, ROOT, overlays

# Our folder -> its place in the lmms-eval package.
IN_LMMS_EVAL = {
    folder: path.relative_to(LMMS_EVAL_PACKAGE) for folder, path in overlays(ROOT)[LMMS_EVAL].items()
}


def lmms_eval_folder() -> Path:
    """The installed lmms-eval package, found without importing it (the import takes seconds).

    Raises:
        UpstreamError: lmms-eval is not installed, or only half.
    """
    try:
        installed = distribution("lmms_eval")
    except PackageNotFoundError:
        raise UpstreamError("lmms-eval is not installed in this environment (remedy: make setup)") from None
    if (clone := editable_folder()) is not None:
        return clone / LMMS_EVAL_PACKAGE
    # pip writes a package's list of files last: without it the installation was interrupted.
    if installed.files is None:
        raise UpstreamError("lmms-eval is only half installed (remedy: make setup)")
    return Path(str(installed.locate_file(LMMS_EVAL_PACKAGE)))


def editable_folder() -> Path | None:
    """The tree of an editable installation of lmms-eval; None if it was installed from its release."""
    about = parse_json(distribution("lmms_eval").read_text("direct_url.json") or "{}")
    if not about.get("dir_info", {}).get("editable"):
        return None
    return Path(url2pathname(urlsplit(about["url"]).path))


def link(package: Path, sources: dict[Path, Path]) -> int:
    """Link our files into ``package`` and remove links to files that no longer exist.

    Args:
        package: an upstream tree or package.
        sources: our folder -> its place, relative to ``package``.

    Returns:
        The number of links made or removed; 0 if everything was in place.

    Raises:
        UpstreamError: upstream has a file of that name; nothing is changed.
    """
    wanted = {package / path: source for path, source in _files(sources)}
    for path in wanted:
        if os.path.lexists(path) and not _is_ours(path, sources):
            raise UpstreamError(f"{path} is upstream's and is not replaced (remedy: rename {wanted[path]})")
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
        # Through a temporary name: two processes may link at the same time, and one may be killed.
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.symlink_to(target)
        temporary.replace(path)
        changes += 1
    return changes


def unlink(package: Path, sources: dict[Path, Path]) -> int:
    """Remove our links from ``package``; returns how many there were."""
    links = list(_links(package, sources))
    for path in links:
        path.unlink()
        _remove_empty(path.parent, package)
    return len(links)


def wanted_links(sources: dict[Path, Path]) -> list[str]:
    """The paths, relative to the tree, at which links to our files must be."""
    return sorted(path.as_posix() for path, _ in _files(sources))


def present_links(package: Path, sources: dict[Path, Path]) -> list[str]:
    """The paths, relative to ``package``, of the links to our files that exist now."""
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
    # A folder that holds nothing but Python's cache counts as empty.
    while folder != package and {entry.name for entry in folder.iterdir()} <= {"__pycache__"}:
        cache = folder / "__pycache__"
        if cache.exists():
            for compiled in cache.iterdir():
                compiled.unlink()
            cache.rmdir()
        folder.rmdir()
        folder = folder.parent
