"""Runs git without prompts, with short timeouts, and independent of the user's settings."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from ndino.upstream.errors import Unreachable, UpstreamError

PROBE_SECONDS = 10

# Overrides user settings that would change the bytes of a checkout, run programs or start background jobs.
# The user's proxies, certificates and URL rewrites still apply.
_SETTINGS = {
    "advice.detachedHead": "false",
    "apply.ignoreWhitespace": "no",
    "apply.whitespace": "nowarn",
    "core.autocrlf": "false",
    "core.eol": "lf",
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "core.symlinks": "true",
    "gc.auto": "0",
    "http.lowSpeedLimit": "1000",
    "http.lowSpeedTime": "30",
    "init.defaultBranch": "main",
    "maintenance.auto": "false",
}
# git sets these when it runs us from a hook; they would point our git at that repository.
_OF_ANOTHER_REPOSITORY = {
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_DIR",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_WORK_TREE",
}


class GitError(UpstreamError):
    """git failed; the message is its first error line."""


def git(*arguments: str | Path, folder: Path, timeout: float | None = None) -> str:
    """Run git in ``folder`` and return its standard output.

    Raises:
        GitError: git failed, or took longer than ``timeout`` seconds.
        Unreachable: git is not installed.
    """
    settings = [word for name, value in _SETTINGS.items() for word in ("-c", f"{name}={value}")]
    environment = {name: value for name, value in os.environ.items() if name not in _OF_ANOTHER_REPOSITORY}
    environment |= {
        "GIT_ASKPASS": "true",
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
    }
    environment.setdefault("GIT_SSH_COMMAND", f"ssh -o BatchMode=yes -o ConnectTimeout={PROBE_SECONDS}")
    try:
        done = subprocess.run(
            ["git", *settings, *map(str, arguments)],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=timeout,
        )
    except FileNotFoundError:
        if not folder.is_dir():
            raise
        raise Unreachable("git is not installed") from None
    except subprocess.TimeoutExpired:
        raise GitError(f"no answer in {timeout:.0f} seconds") from None
    if done.returncode:
        raise GitError(_reason(done.stderr) or f"git {arguments[0]} failed")
    return done.stdout


def _reason(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    named = [line for line in lines if line.startswith(("fatal: ", "error: ", "remote: "))]
    reason = (named or lines or [""])[0].split(": ", 1)[-1]
    # "unable to access 'URL': Could not resolve host: ...": our own message has the URL.
    return reason.split("': ", 1)[-1] if reason.startswith("unable to access") else reason
