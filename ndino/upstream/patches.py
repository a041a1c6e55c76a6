"""Patches that only insert lines of ours: read, checked, and applied with ``git apply``.

A patch starts with its reason, and its hunks have no context (``diff -U0``), so that no upstream line is
copied into it. Without context git moves a hunk whose line number is off, and reports no error.
`upstream.toml` therefore pins the sha256 of every patched file both before and after the patches.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ndino.upstream.errors import UpstreamError
from ndino.upstream.git import GitError, git

_FILE = re.compile(r"^--- a/(.+)\n\+\+\+ b/\1$", re.MULTILINE)
_HUNK = re.compile(r"@@ -\d+,0 \+\d+(?:,(\d+))? @@")  # its old side is empty
_ALLOWED = re.compile(rf"\+|diff |index |--- a/|{_HUNK.pattern}")


@dataclass(frozen=True)
class Patch:
    """A checked patch and the upstream files that it inserts lines into."""

    path: Path
    reason: str
    files: tuple[str, ...]

    def apply(self, tree: Path) -> None:
        """Insert the lines into the files of ``tree``, a git work tree.

        Raises:
            UpstreamError: git cannot apply it; says why.
        """
        try:
            git("apply", "--unidiff-zero", self.path.resolve(), folder=tree)
        except GitError as error:
            raise UpstreamError(
                f"{self.path} no longer applies: {error} "
                "(remedy: make it again against the pinned commit, diff -U0)"
            ) from error


def read_series(folder: Path) -> list[Patch]:
    """The patches named in ``folder``/series, in their order; none if there is no such file.

    Raises:
        UpstreamError: a patch breaks a rule, is named but missing, or is there but not named.
    """
    series = folder / "series"
    lines = series.read_text().splitlines() if series.exists() else []
    names = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    for name in names:
        if not (folder / name).is_file():
            raise UpstreamError(f"{series} names {name}, which is not there (remedy: drop the line)")
    for path in sorted(folder.glob("*.patch")):
        if path.name not in names:
            raise UpstreamError(f"{path} is not in {series} (remedy: add it, or delete it)")
    return [read_patch(folder / name) for name in names]


def read_patch(path: Path) -> Patch:
    """Read a patch and check that it gives a reason and only inserts lines into existing files.

    Raises:
        UpstreamError: names the file, the line and what is wrong with it.
    """
    lines = path.read_bytes().decode(errors="surrogateescape").removesuffix("\n").split("\n")
    start = next((n for n, line in enumerate(lines) if line.startswith(("diff ", "--- "))), len(lines))
    reason, changes = "\n".join(lines[:start]).strip(), lines[start:]
    for number, line in enumerate(changes, start + 1):
        if not _ALLOWED.match(line):
            raise UpstreamError(
                f"{path} line {number}: removes or repeats an upstream line, or touches more than "
                "the lines of an existing file (remedy: diff -U0, insert only; new files go to overlay/)"
            )
    announced = sum(int(hunk[1] or 1) for hunk in map(_HUNK.match, changes) if hunk)
    held = sum(line.startswith("+") and not line.startswith("+++ b/") for line in changes)
    if announced != held:  # git would drop lines beyond the announced ones
        raise UpstreamError(
            f"{path}: its hunks announce {announced} line(s) and hold {held} "
            "(remedy: correct the numbers after @@)"
        )
    files = tuple(dict.fromkeys(_FILE.findall("\n".join(changes))))
    if not files:
        raise UpstreamError(f"{path} patches nothing (remedy: remove it and its line in series)")
    if not reason:
        raise UpstreamError(f"{path} gives no reason (remedy: start it with why it is needed)")
    return Patch(path, reason, files)
