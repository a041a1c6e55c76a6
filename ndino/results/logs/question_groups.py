"""Questions that a log asks in several rows, such as all rotations of their options: which are whole."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ndino.results.logs.fields import ResultsError
from ndino.results.logs.samples import LoggedSample

# Where the options are in the image only; no exam goes beyond H.
LETTERS = "ABCDEFGH"
_OPTION = re.compile(r"^([A-Z])\. ?", re.MULTILINE)


def options_in(question: str) -> dict[str, str]:
    """The options by letter that a question ends with, in lines "A. ..." to the last; none if it has none."""
    found = [*_OPTION.finditer(question)]
    start = next((place for place in reversed(range(len(found))) if found[place][1] == "A"), len(found))
    run = [match for letter, match in zip(LETTERS, found[start:], strict=False) if match[1] == letter]
    if len(run) < max(2, len(found) - start):
        return {}
    ends = [*(match.start() for match in run[1:]), len(question)]
    return {match[1]: question[match.end() : end].strip() for match, end in zip(run, ends, strict=True)}


def cut_off(samples: Sequence[LoggedSample]) -> dict[str, tuple[int, int]]:
    """The questions of which rows are missing: how many there are, and of how many, by ``group``."""
    rows: dict[str, list[LoggedSample]] = {}
    for sample in samples:
        if sample.group is not None:
            rows.setdefault(sample.group, []).append(sample)
    return {
        group: (len(found), size)
        for group, found in rows.items()
        if len(found) < (size := found[0].group_size or _rotations(found[0]))
    }


def _rotations(sample: LoggedSample) -> int:
    """Of a log of an earlier version, which does not say it; 0 where it cannot be known."""
    return 0 if sample.rotation is None else len(options_in(sample.question))


def check_cut_off(path: Path, samples: Sequence[LoggedSample]) -> str | None:
    """A sentence about questions that are not whole; None without any.

    Raises:
        ResultsError: one of them counts in a score of whole questions, which only some rows hold.
    """
    if not (cut := cut_off(samples)):
        return None
    in_all = set.intersection(*(set(sample.metrics) for sample in samples))
    metrics = list(dict.fromkeys(name for sample in samples for name in sample.metrics if name not in in_all))
    for sample in samples:
        if sample.group in cut and (counted := [name for name in metrics if name in sample.metrics]):
            there, size = cut[sample.group]
            has = f"document {sample.doc_id} has {counted[0]}"
            reason = f"{has}, but only {there} of the {size} rows of its question are there"
            raise ResultsError(path, reason, remedy=f"ndino rescore {path.parent}")
    named = "1 question lacks rows and is" if len(cut) == 1 else f"{len(cut):,} questions lack rows and are"
    return f"{named} left out of {', '.join(metrics) or 'scores of whole questions'}."
