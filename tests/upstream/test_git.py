"""Running git: whatever the user's settings, without prompts, and with a one-line reason for a failure."""

from __future__ import annotations

import subprocess

import pytest

from ndino.upstream.errors import Unreachable
from ndino.upstream.git import GitError, git


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "repository"
    folder.mkdir()
    git("init", "--quiet", ".", folder=folder)
    return folder


def test_a_failure_is_one_line(repository, tmp_path):
    with pytest.raises(GitError) as caught:
        git("checkout", "no-such-branch", folder=repository)
    assert str(caught.value) == "pathspec 'no-such-branch' did not match any file(s) known to git"
    with pytest.raises(GitError, match="does not appear to be a git repository"):
        git("ls-remote", str(tmp_path / "nowhere"), folder=repository)


def test_line_endings_are_those_of_the_commit_whatever_the_user_set(repository, tmp_path, monkeypatch):
    settings = tmp_path / "gitconfig"
    settings.write_text("[core]\n\tautocrlf = true\n[user]\n\tname = U\n\temail = u@example.org\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    (repository / "a.txt").write_bytes(b"one\ntwo\n")
    git("add", "a.txt", folder=repository)
    git("commit", "--quiet", "-m", "first", folder=repository)
    (repository / "a.txt").unlink()
    git("checkout", "--", "a.txt", folder=repository)
    assert (repository / "a.txt").read_bytes() == b"one\ntwo\n"
    (repository / "a.txt").unlink()
    subprocess.run(["git", "checkout", "-q", "--", "a.txt"], cwd=repository, check=True)
    assert (repository / "a.txt").read_bytes() == b"one\r\ntwo\r\n", "the setting has an effect by itself"


def test_a_hook_s_environment_does_not_redirect_it(repository, tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    assert git("rev-parse", "--show-toplevel", folder=repository).strip() == str(repository.resolve())


def test_it_does_not_wait_longer_than_the_timeout(repository, tmp_path, monkeypatch):
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow.parent}:/usr/bin:/bin")
    with pytest.raises(GitError, match="no answer in 1 seconds"):
        git("status", folder=repository, timeout=1)


def test_a_machine_without_git_is_named(repository, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unreachable, match="git is not installed"):
        git("status", folder=repository)
