"""Builds an upstream tree in ``third_party/``: the pinned commit, our patches, links to our files.

A tree is never changed in place. A new one is built beside the old one and renamed when it is complete: after
a kill there is the old tree, the new one or none, but never a half-patched one. A stamp, ``.git/ndino.json``,
records what the tree was made of; while that is unchanged, set-up does nothing.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from ndino.common.files import key_of, sha256_of, write_json
from ndino.common.parsing import read_json
from ndino.upstream.errors import UpstreamError
from ndino.upstream.git import GitError, git
from ndino.upstream.mirror import Mirrors
from ndino.upstream.overlay import link, present_links, wanted_links
from ndino.upstream.patches import Patch, read_series
from ndino.upstream.pins import LLAVA_NEXT, ROOT, Pin, read_pins

STAMP = Path(".git", "ndino.json")
# What Python and its installers create in a tree, and can create again.
_BYPRODUCT = re.compile(r"(^|/)__pycache__/|\.egg-info/")


@dataclass(frozen=True)
class TreeStamp:
    """What a tree was made of.

    Attributes:
        key: hash of pin, patches and overlay; "pristine" for the unpatched commit.
        files: patched upstream file -> its sha256.
    """

    key: str
    commit: str
    files: dict[str, str]


def set_up(pin: Pin, mirrors: Mirrors) -> bool:
    """Bring the tree up to date with pin, patches and overlay; returns whether anything had to be done.

    Raises:
        Unreachable: the commit is not in the cache and cannot be fetched.
        UpstreamError: the tree, a patch or an upstream file is not as expected; nothing was changed.
    """
    series = read_series(pin.patches)
    for patch in series:
        for file in patch.files:
            if file not in pin.sha256:
                raise UpstreamError(
                    f"{patch.path} touches {file}, whose sha256 is not in upstream.toml "
                    f"(remedy: add it to [{pin.name}.sha256] and [{pin.name}.patched])"
                )
    key = _key(pin, series)
    if _is_current(pin, key) and not _leftovers(pin.folder.parent):
        return False
    with _locked(pin.folder.parent):
        if _is_current(pin, key):
            return False
        _require_replaceable(pin)
        _replace(pin, _build(pin, mirrors.of(pin), series, key))
    laid = len(wanted_links(pin.overlay))
    print(f"{pin.name} {pin.commit[:7]}: {len(series)} patch(es), {laid} file(s) laid over it", flush=True)
    return True


def restore(pin: Pin, mirrors: Mirrors) -> bool:
    """Restore the pristine commit; returns False if there is no tree or nothing to do.

    Raises:
        UpstreamError: the tree contains something that is neither upstream's nor ours; nothing was changed.
    """
    if not os.path.lexists(pin.folder):
        return False
    with _locked(pin.folder.parent):
        stamp = _require_replaceable(pin)
        if stamp.key == "pristine" and stamp.commit == pin.commit:
            return False
        _replace(pin, _build(pin, mirrors.of(pin), [], None))
    return True


def llava_next_folder(root: Path = ROOT) -> Path:
    """The LLaVA-NeXT tree, up to date with our patches and overlay.

    Raises:
        UpstreamError: it is not set up, or not up to date.
    """
    pin = read_pins(root)[LLAVA_NEXT]
    if not os.path.lexists(pin.folder):
        raise UpstreamError(
            f"third_party/{pin.name} is not set up (remedy: make setup {pin.setting}=<clone>)"
        )
    if not _is_current(pin, _key(pin, read_series(pin.patches))):
        raise UpstreamError(f"third_party/{pin.name} is not up to date (remedy: make setup)")
    return pin.folder


def _key(pin: Pin, series: list[Patch]) -> str:
    patches = [sha256_of(patch.path) for patch in series]
    return key_of(pin.commit, sorted(pin.sha256.items()), patches, wanted_links(pin.overlay))


def _is_current(pin: Pin, key: str) -> bool:
    """Whether the tree was made from what ``key`` is the hash of; raises if it was changed since."""
    if not os.path.lexists(pin.folder):
        return False
    stamp = _inspect(pin)
    if stamp.key != key or stamp.files != pin.patched:
        return False
    return present_links(pin.folder, pin.overlay) == wanted_links(pin.overlay)


def _read_stamp(pin: Pin) -> TreeStamp:
    try:
        return TreeStamp(**read_json(pin.folder / STAMP))
    except (OSError, ValueError, TypeError):
        raise UpstreamError(
            f"{pin.folder} was not made by set-up and is left alone "
            f"(remedy: move it away, then make setup {pin.setting}=<where it is now>)"
        ) from None


def _inspect(pin: Pin, *, ignored: bool = False) -> TreeStamp:
    """The stamp of a tree; raises unless it contains exactly upstream's files, our patches and our links.

    Args:
        ignored: whether files ignored by upstream's .gitignore count too; they do before a tree is replaced.
    """
    stamp = _read_stamp(pin)
    tree = pin.folder
    head = git("rev-parse", "HEAD", folder=tree).strip()
    if head != stamp.commit:
        raise UpstreamError(
            f"{tree} is at the wrong commit: {head}, and set-up left it at {stamp.commit} "
            f"(remedy: git -C {tree} checkout {stamp.commit})"
        )
    status = git(
        "status",
        "--porcelain",
        "-z",
        "--no-renames",
        "--untracked-files=all",
        f"--ignored={'matching' if ignored else 'no'}",
        folder=tree,
    )
    ours = set(present_links(tree, pin.overlay))
    foreign = []
    for entry in filter(None, status.split("\0")):
        state, path = entry[:2], entry[3:]
        if state == " M" and stamp.files.get(path) == _sha256(tree / path):
            continue
        if path in ours or (state in ("!!", "??") and _BYPRODUCT.search(path)):
            continue
        foreign.append(path)
    foreign += [path for path, sha256 in stamp.files.items() if _sha256(tree / path) != sha256]
    if foreign:
        names = ", ".join(sorted(set(foreign))[:3]) + (", ..." if len(set(foreign)) > 3 else "")
        raise UpstreamError(
            f"{tree} is dirty: {names} (remedy: keep what you need elsewhere; "
            f"git -C {tree} status shows it, rm -r {tree} drops it)"
        )
    return stamp


def _require_replaceable(pin: Pin) -> TreeStamp:
    if not os.path.lexists(pin.folder):
        return TreeStamp("", "", {})
    return _inspect(pin, ignored=True)


def _build(pin: Pin, mirror: Path, series: list[Patch], key: str | None) -> Path:
    """Build the tree under a temporary name; without ``key``, the pristine commit."""
    tree = pin.folder.with_name(f".{pin.name}.{os.getpid()}.new")
    tree.mkdir(parents=True)
    try:
        try:
            git("init", "--quiet", ".", folder=tree)
            git("fetch", "--quiet", "--depth=1", mirror, "refs/heads/pinned", folder=tree)
            git("checkout", "--quiet", "--detach", pin.commit, folder=tree)
        except GitError as error:
            raise UpstreamError(
                f"the mirror {mirror} is damaged: {error} (remedy: rm -r {mirror}, then make setup)"
            ) from error
        if key is not None:
            _verify(pin, tree)
            for patch in series:
                patch.apply(tree)
            _verify_patched(pin, tree)
            link(tree, pin.overlay)
        stamp = TreeStamp(key or "pristine", pin.commit, pin.patched if key is not None else {})
        write_json(tree / STAMP, asdict(stamp))
        if key is None and (left := git("status", "--porcelain", "--ignored", folder=tree)):
            raise UpstreamError(
                f"{tree} is not the pristine commit: {left.splitlines()[0]} "
                f"(remedy: rm -r {tree}, then make setup)"
            )
    except BaseException:
        shutil.rmtree(tree, ignore_errors=True)
        raise
    return tree


def _verify(pin: Pin, tree: Path) -> None:
    for file, expected in pin.sha256.items():
        found = _sha256(tree / file)
        if found != expected:
            raise UpstreamError(
                f"upstream changed {file}: at {pin.commit[:7]} its sha256 is {found}, "
                f"upstream.toml says {expected} (remedy: see what changed, check the patches that touch it, "
                f"then write the new sha256 there)"
            )


def _verify_patched(pin: Pin, tree: Path) -> None:
    for file, expected in pin.patched.items():
        found = _sha256(tree / file)
        if found != expected:
            raise UpstreamError(
                f"{pin.patches}: after the patches the sha256 of {file} is {found}, upstream.toml says "
                f"{expected} (remedy: after a change of a patch write the new sha256 to "
                f"[{pin.name}.patched]; otherwise git moved a hunk: correct its line numbers)"
            )


def _replace(pin: Pin, tree: Path) -> None:
    old = pin.folder.with_name(f".{pin.name}.{os.getpid()}.old")
    if os.path.lexists(pin.folder):
        pin.folder.rename(old)
    tree.rename(pin.folder)
    shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One set-up at a time; what a killed one left under temporary names is removed."""
    # Imported here, since this package is also used before our dependencies are installed.
    from ndino.common.locks import exclusive_lock

    folder.mkdir(parents=True, exist_ok=True)
    busy = f"{folder}: waiting for another set-up"
    with exclusive_lock(folder / ".lock", busy, wait=partial(print, file=sys.stderr)):
        for leftover in _leftovers(folder):
            # A git process of the killed set-up may still be writing there; then the next run removes it.
            shutil.rmtree(leftover, ignore_errors=True)
        yield


def _leftovers(folder: Path) -> list[Path]:
    return [*folder.glob(".*.new"), *folder.glob(".*.old")]


def _sha256(path: Path) -> str:
    return sha256_of(path) if path.is_file() else "nothing"
