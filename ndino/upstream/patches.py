"""Patches that only insert lines of ours: read, checked, and applied to the very line.

A patch starts with its reason, and its hunks have no context (``diff -U0``), so that no upstream line stands
in it. What keeps it from landing in a file that has changed is the file's sha256 in `upstream.toml`. They are
not left to ``git apply``, which moves a hunk that has no context to wherever it fits.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ndino.upstream.errors import UpstreamError

_HUNK = re.compile(r"@@ -(\d+),0 \+(\d+)(?:,(\d+))? @@")


@dataclass(frozen=True)
class Insertion:
    """Lines that go behind line ``after`` of the old file (0: before the first) and are then at ``at``."""

    after: int
    at: int
    lines: list[str]


@dataclass(frozen=True)
class Patch:
    """A checked patch: upstream file -> what goes into it, from its top down."""

    path: Path
    reason: str
    insertions: dict[str, list[Insertion]]

    def apply(self, tree: Path) -> None:
        """Insert the lines into the files of ``tree``.

        Raises:
            UpstreamError: a file or a line is not there.
        """
        for file, insertions in self.insertions.items():
            path = tree / file
            if not path.is_file():
                raise UpstreamError(f"{self.path} no longer applies: there is no {file}")
            *lines, rest = path.read_bytes().decode(errors="surrogateescape").split("\n")
            inserted = 0
            for each in insertions:
                place = each.after + inserted
                if place > len(lines) or each.at != place + 1:
                    raise UpstreamError(
                        f"{self.path} no longer applies: {file} has no line {each.after} that would become "
                        f"line {each.at} (remedy: make it anew against the pinned commit, diff -U0)"
                    )
                lines[place:place] = each.lines
                inserted += len(each.lines)
            path.write_bytes("\n".join([*lines, rest]).encode(errors="surrogateescape"))


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
    insertions: dict[str, list[Insertion]] = {}
    file: list[Insertion] | None = None
    lines: list[str] = []
    text = path.read_bytes().decode(errors="surrogateescape")
    owed = 0  # lines that the hunk at hand has still to bring
    for number, line in enumerate(text.removesuffix("\n").split("\n"), start=1):
        if owed:
            if not line.startswith("+"):
                raise fault(number, "not an inserted line (remedy: diff -U0, and no upstream line removed)")
            lines.append(line[1:])
            owed -= 1
        elif hunk := _HUNK.match(line):
            if file is None:
                raise fault(number, "a hunk before the name of its file")
            owed, lines = int(hunk[3] or 1), []
            file.append(Insertion(int(hunk[1]), int(hunk[2]), lines))
        elif line.startswith("+++ "):
            file = insertions.setdefault(line[4:].split("\t")[0].removeprefix("b/"), [])
        elif line.startswith(("new file", "deleted file", "rename", "old mode", "--- /dev/null")):
            raise fault(number, "patches only insert into existing files (remedy: new files go to overlay/)")
        elif line.startswith(("diff ", "index ", "--- ")):
            continue
        elif file is None:
            reason.append(line)
        else:
            raise fault(number, "removes or repeats an upstream line (remedy: diff -U0, insert only)")
    if owed:
        raise fault(number, f"breaks off, {owed} line(s) short")
    if not insertions:
        raise UpstreamError(f"{path} patches nothing")
    if not any(line.strip() for line in reason):
        raise UpstreamError(f"{path} gives no reason (remedy: start it with why it is needed)")
    return Patch(path, "\n".join(reason).strip(), insertions)
