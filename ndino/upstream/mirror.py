"""Keeps bare mirrors of the pinned commits in the user's cache folder, so a machine fetches each only once.

There is one mirror for each commit; it never changes. It is made under a temporary name and then renamed.
"""

from __future__ import annotations

import secrets
import shutil
import time
from pathlib import Path
from urllib.parse import urlsplit

from ndino.common.caches import cache_root, usual_cache_root
from ndino.upstream.errors import Unreachable, UpstreamError
from ndino.upstream.git import PROBE_SECONDS, GitError, git
from ndino.upstream.pins import Pin

# No fetch takes that long: an older temporary folder was left by a killed process.
_ABANDONED_SECONDS = 24 * 3600


def mirror_path(pin: Pin) -> Path:
    """Where the mirror of the pinned commit is, or would be."""
    mirror = Path("ndino", pin.name, f"{pin.commit}.git")
    there = usual_cache_root() / mirror  # it may be there in a home that can only be read
    return there if there.is_dir() else cache_root() / mirror


class Mirrors:
    """Finds or makes mirrors; an instance does not try again a host that did not answer."""

    def __init__(self) -> None:
        self._silent: dict[str, str] = {}

    def of(self, pin: Pin) -> Path:
        """The bare repository with the pinned commit: from the cache, else from the tree or its source.

        Raises:
            Unreachable: neither cache nor tree has it, and the source does not answer.
            UpstreamError: the source does not have the commit.
        """
        path = mirror_path(pin)
        if path.is_dir():
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        for leftover in path.parent.glob(".*"):
            if time.time() - leftover.stat().st_mtime > _ABANDONED_SECONDS:
                shutil.rmtree(leftover, ignore_errors=True)
        temporary = path.with_name(f".{pin.commit[:7]}.{secrets.token_hex(4)}")
        temporary.mkdir()
        try:
            git("init", "--bare", "--quiet", ".", folder=temporary)
            try:
                if not (pin.folder / ".git").is_dir():
                    raise GitError("no tree yet")
                _fetch(temporary, str(pin.folder), pin.commit)
            except GitError:
                self._fetch_from_source(temporary, pin)
            git("symbolic-ref", "HEAD", "refs/heads/pinned", folder=temporary)
            try:
                temporary.rename(path)
            except OSError:
                if not path.is_dir():
                    raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return path

    def _fetch_from_source(self, repository: Path, pin: Pin) -> None:
        source = pin.source
        host = urlsplit(source).netloc
        if host in self._silent:
            raise Unreachable(self._silent[host])
        try:
            # Every kind of source answers ls-remote at once or not at all; a fetch can take minutes.
            git("ls-remote", "--quiet", source, "HEAD", folder=repository, timeout=PROBE_SECONDS)
        except GitError as error:
            reason = str(error) if host and host in str(error) else f"{source}: {error}"
            if host:
                self._silent[host] = reason
            raise Unreachable(reason) from error
        print(f"Fetching {pin.name} {pin.commit[:7]} from {source} ...", flush=True)
        try:
            _fetch(repository, source, pin.commit)
        except GitError as error:
            if any(words in str(error) for words in ("not our ref", "remote ref", "no such remote ref")):
                raise UpstreamError(
                    f"{source} does not have the pinned commit {pin.commit} of {pin.name} "
                    f"(remedy: git fetch it there, or name another {pin.setting}=)"
                ) from error
            raise Unreachable(f"{source}: {error}") from error


def _fetch(repository: Path, source: str, commit: str) -> None:
    refspec = f"+{commit}:refs/heads/pinned"
    git("fetch", "--quiet", "--depth=1", "--no-tags", source, refspec, folder=repository)
