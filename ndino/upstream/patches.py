"""Patches that only insert lines of ours: a series is read and checked before anything is applied.

A patch starts with its reason, and its hunks have no context (``diff -U0``), so that no upstream line stands
in it. What keeps it from landing in a file that has changed is the file's sha256 in `upstream.toml`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ndino.upstream.errors import UpstreamError

_HUNK = re.compile(r"@@ -\d+,0 \+\d+(?:,(\d+))? @@")


@dataclass(frozen=True)
class Patch:
    """A checked patch; ``files`` are the upstream files it touches."""

    path: Path
    reason: str
    files: tuple[str, ...]


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

    def fault(number: int, what: str) -> UpstreamError:
        return UpstreamError(f"{path} line {number}: {what}")

    reason: list[str] = []
    files: list[str] = []
    owed = 0  # lines that the hunk at hand has still to bring
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if owed:
            if not line.startswith("+"):
                raise fault(number, "not an inserted line (remedy: diff -U0, and no upstream line removed)")
            owed -= 1
        elif hunk := _HUNK.match(line):
            if not files:
                raise fault(number, "a hunk before the name of its file")
            owed = int(hunk[1] or 1)
        elif line.startswith("+++ "):
            files.append(line[4:].split("\t")[0].removeprefix("b/"))
        elif line.startswith(("@@", "-", "+", " ", "\\")) and files and not line.startswith("--- "):
            raise fault(
                number, "removes, changes or repeats an upstream line (remedy: diff -U0, insert only)"
            )
        elif line.startswith(("new file", "deleted file", "rename", "old mode", "--- /dev/null")):
            raise fault(number, "patches only insert into existing files (remedy: new files go to overlay/)")
        elif not files and not line.startswith(("diff ", "index ", "--- ")):
            reason.append(line)
    if owed:
        raise fault(number, f"breaks off, {owed} line(s) short")
    if not files:
        raise UpstreamError(f"{path} patches nothing")
    text = "\n".join(reason).strip()
    if not text:
        raise UpstreamError(f"{path} gives no reason (remedy: start it with why it is needed)")
    return Patch(path, text, tuple(dict.fromkeys(files)))
