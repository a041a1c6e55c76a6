"""``--retry-rejects``: items that were rejected for reasons that may pass are tried again, the others stay.

Such reasons lie outside of the settings: a download, a file that is missing or broken, a time limit, a
translator that gave no text or was cut off.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from ndino.data.framework.journal import Journal, json_rows, write_rows
from ndino.data.framework.layout import JOURNAL, may_change, refuse_torn, settings_of

MAY_PASS = re.compile(
    r"image: .*|HTTP \d+|timed out|broken off|no connection|empty answer|empty file|wrong kind of file.*|"
    r"broken image|HTML, not an image|not an image|not a PDF|truncated|encrypted|broken PDF|"
    r".* took too long|.* crashed|translation broke off|empty translation"
)


def may_pass(reason: str) -> bool:
    """Whether what was rejected for this reason may be accepted in another start with the same settings."""
    return MAY_PASS.fullmatch(reason) is not None


def continued(whole: Path, unfinished: Path, settings: dict[str, Any], *, retry: bool) -> dict[str, Any]:
    """Get a shard ready to be continued; returns its settings, which keep the folders of earlier starts.

    Args:
        whole: the shard's folder when it is complete.
        unfinished: its folder until then.
        settings: what it is continued with; not others than it was started with (`refuse_other_settings`).
        retry: open it again, without the items that may pass now.

    Raises:
        DataError: the journal of the complete shard is torn.
    """
    folder = whole if whole.is_dir() else unfinished
    found = settings_of(folder)
    if found is None:
        return settings
    if not retry:
        return found
    if folder == whole:
        refuse_torn(whole)
    Journal(folder / JOURNAL).close()  # without the torn end that a killed run may leave
    again, rows_stay = _rejected(folder / JOURNAL)
    earlier, now = (
        [one for one in inputs.get("inputs") or [] if may_change(one)] for inputs in (found, settings)
    )
    if not again and earlier[-1:] == now:
        return found
    os.replace(folder, unfinished)
    kept = (entry for entry in json_rows(unfinished / JOURNAL) if entry["item"] not in again)
    write_rows(unfinished / JOURNAL, kept)
    if not now:
        return settings
    files = [one for one in settings["inputs"] if not may_change(one)]
    return {**settings, "inputs": [*files, *(one for one in earlier if rows_stay and one not in now), *now]}


def _rejected(journal: Path) -> tuple[set[int], bool]:
    """The items that may pass now, and whether rows of others stay."""
    again, rows_stay = set(), False
    for entry in json_rows(journal):
        if any(may_pass(reject["reason"]) for reject in entry["rejects"]):
            again.add(entry["item"])
        else:
            rows_stay |= bool(entry["rows"])
    return again, rows_stay
