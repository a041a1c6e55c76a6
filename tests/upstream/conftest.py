"""A made-up upstream repository with two commits, and a repository of ours that pins the first."""

from __future__ import annotations

import hashlib
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from ndino.upstream.checkout import set_up
from ndino.upstream.mirror import Mirrors
from ndino.upstream.pins import LLAVA_NEXT, Pin, read_pins

TRAIN = "import sys\n\n\ndef train():\n    return 1\n"
MOVED = "# moved\n" + TRAIN
PATCH = """Why it is needed.

diff --git a/llava/train.py b/llava/train.py
--- a/llava/train.py
+++ b/llava/train.py
@@ -1,0 +2 @@
+import ours
"""


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=U", "-c", "user.email=u@example.org", "-c", "init.defaultBranch=main"]
    command = ["git", *identity, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@dataclass
class House:
    """A repository of ours beside the made-up upstream one."""

    root: Path
    upstream: Path
    first: str
    second: str

    @property
    def pin(self) -> Pin:
        return read_pins(self.root)[LLAVA_NEXT]

    @property
    def tree(self) -> Path:
        return self.pin.folder

    def set_up(self) -> bool:
        return set_up(self.pin, Mirrors())

    def write_pin(self, commit: str, **sha256: str) -> None:
        """Pin a commit, the sha256 of its files, and what the patches at hand make of them."""
        before = {"llava/train.py": sha_of(TRAIN), **sha256}
        after = {**before, "llava/train.py": sha_of(self._patched(commit))}
        lines = [f"[{LLAVA_NEXT}]", f'url = "{self.upstream}"', f'commit = "{commit}"']
        for table, hashes in (("sha256", before), ("patched", after)):
            lines.append(f"[{LLAVA_NEXT}.{table}]")
            lines += [f'"{file}" = "{value}"' for file, value in hashes.items()]
        (self.root / "upstream.toml").write_text("\n".join(lines) + "\n")

    def write_patches(self, **patches: str) -> None:
        """Put a series of patches in place, and the files that come out of them into upstream.toml."""
        self.put_patches(**patches)
        self.write_pin(self.pin.commit, **self.pin.sha256)

    def put_patches(self, **patches: str) -> None:
        """Put a series of patches in place and leave upstream.toml as it is."""
        folder = self.root / "patches" / "llava-next"
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.iterdir():
            old.unlink()
        for name, text in patches.items():
            (folder / f"{name}.patch").write_text(text)
        (folder / "series").write_text("".join(f"{name}.patch\n" for name in patches))

    def _patched(self, commit: str) -> str:
        """llava/train.py as the patches at hand should make it."""
        lines = (TRAIN if commit == self.first else MOVED).splitlines()
        folder = self.root / "patches" / "llava-next"
        for name in (folder / "series").read_text().split():
            text = (folder / name).read_text()
            for after, added in re.findall(r"^@@ -(\d+),0 .*\n((?:\+.*\n)+)", text, re.MULTILINE):
                lines[int(after) : int(after)] = [line[1:] for line in added.splitlines()]
        return "\n".join(lines) + "\n"

    def left_over(self) -> list[str]:
        """Names in third_party/ other than the tree and the lock."""
        return sorted({path.name for path in self.tree.parent.iterdir()} - {LLAVA_NEXT, ".lock"})


def sha_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for variable in ("LLAVA_NEXT_URL", "LMMS_EVAL_URL"):
        monkeypatch.delenv(variable, raising=False)
    upstream = tmp_path / "upstream"
    (upstream / "llava").mkdir(parents=True)
    (upstream / "llava" / "train.py").write_text(TRAIN)
    (upstream / "llava" / "other.py").write_text("other = 1\n")
    (upstream / ".gitignore").write_text("__pycache__/\ncheckpoints/\n")
    git(upstream, "init", "--quiet", ".")
    git(upstream, "add", ".")
    git(upstream, "commit", "--quiet", "-m", "first")
    first = git(upstream, "rev-parse", "HEAD")
    (upstream / "llava" / "train.py").write_text(MOVED)
    git(upstream, "commit", "--quiet", "-am", "second")
    root = tmp_path / "ours"
    (root / "overlay" / "llava" / "ndino").mkdir(parents=True)
    (root / "overlay" / "llava" / "ndino" / "hooks.py").write_text("hooks = 1\n")
    house = House(root, upstream, first, git(upstream, "rev-parse", "HEAD"))
    house.put_patches(**{"0001-one": PATCH})
    house.write_pin(first)
    return house
