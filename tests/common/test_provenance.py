"""Commit and package versions, as manifests record them."""

from __future__ import annotations

import re
import subprocess
from importlib.metadata import version
from pathlib import Path

from ndino.common import provenance


def test_the_commit_is_that_of_the_checkout(monkeypatch, tmp_path):
    repository = tmp_path / "repository"
    (repository / "ndino" / "common").mkdir(parents=True)
    git = ["git", "-C", str(repository), "-c", "user.name=A", "-c", "user.email=a@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    head = subprocess.run(
        [*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()
    monkeypatch.setattr(provenance, "__file__", str(repository / "ndino" / "common" / "provenance.py"))
    found = provenance.commit()
    assert found == head and re.fullmatch("[0-9a-f]{40}", found)


def test_outside_a_checkout_there_is_no_commit(monkeypatch, tmp_path):
    monkeypatch.setattr(provenance, "__file__", str(Path(tmp_path, "provenance.py")))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert provenance.commit() is None


def test_only_installed_packages_have_versions():
    assert provenance.versions(["torch", "no-such-package-here"]) == {"torch": version("torch")}
