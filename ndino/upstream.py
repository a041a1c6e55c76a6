"""Lay our tasks and model wrappers over the installed lmms-eval, and take them off again.

    python -m ndino.upstream link      # after every set-up; a second run changes nothing
    python -m ndino.upstream unlink

Files are linked one by one into real folders, because lmms-eval looks for tasks with ``os.walk``, which does
not follow a linked folder. Editing a file of ours therefore needs no new link, adding one does.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TASKS = ROOT / "tasks_it"
OVERLAY = ROOT / "overlay" / "lmms_eval"
TASK_FOLDER = Path("tasks", "ndino_it")


class UpstreamError(RuntimeError):
    """An upstream tree that cannot be used as it is; the message names the file and the remedy."""


def lmms_eval_folder() -> Path:
    """The installed lmms-eval package, found without importing it (the import takes seconds).

    Raises:
        UpstreamError: lmms-eval is not installed.
    """
    spec = importlib.util.find_spec("lmms_eval")
    if spec is None or not spec.submodule_search_locations:
        raise UpstreamError("lmms-eval is not installed in this environment (remedy: make setup)")
    return Path(spec.submodule_search_locations[0])


def link(package: Path, sources: dict[Path, Path] | None = None) -> int:
    """Link our files into ``package`` and drop links to files we no longer have.

    Args:
        package: the lmms-eval package folder.
        sources: where each folder of ours goes, relative to ``package``; by default ``tasks_it/`` and
            ``overlay/lmms_eval/``.

    Returns:
        The number of links made or dropped; 0 when everything was in place.

    Raises:
        UpstreamError: a file of lmms-eval stands where ours should go. Nothing is changed then.
    """
    sources = sources or {TASKS: TASK_FOLDER, OVERLAY: Path()}
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
        if path.is_symlink() and Path(os.readlink(path)) == source:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        # By way of a temporary name: two processes may link at once, and one may be killed.
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.symlink_to(source)
        temporary.replace(path)
        changes += 1
    return changes


def unlink(package: Path, sources: dict[Path, Path] | None = None) -> int:
    """Take our links out of ``package``; returns how many there were."""
    sources = sources or {TASKS: TASK_FOLDER, OVERLAY: Path()}
    links = list(_links(package, sources))
    for path in links:
        path.unlink()
        _remove_empty(path.parent, package)
    return len(links)


def _files(sources: dict[Path, Path]) -> Iterator[tuple[Path, Path]]:
    for folder, destination in sources.items():
        for source in sorted(folder.rglob("*")):
            if source.is_file() and "__pycache__" not in source.parts:
                yield destination / source.relative_to(folder), source


def _links(package: Path, sources: dict[Path, Path]) -> Iterator[Path]:
    for root, folders, files in os.walk(package):
        for name in [*folders, *files]:
            path = Path(root, name)
            if path.is_symlink() and _is_ours(path, sources):
                yield path


def _is_ours(path: Path, sources: dict[Path, Path]) -> bool:
    if not path.is_symlink():
        return False
    target = Path(os.readlink(path))
    return any(target.is_relative_to(folder) for folder in sources)


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


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m ndino.upstream", description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=["link", "unlink"])
    options = parser.parse_args(arguments)
    try:
        package = lmms_eval_folder()
        changes = link(package) if options.action == "link" else unlink(package)
    except (UpstreamError, OSError) as error:
        print(f"ndino.upstream: {error}", file=sys.stderr)
        return 1
    if changes:
        print(f"lmms-eval: {changes} link(s) {'renewed' if options.action == 'link' else 'removed'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
