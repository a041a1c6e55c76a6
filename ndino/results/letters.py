"""Which letters a model answers in multiple choice, against which are right: its bias for a position.

A log that does not say which letters were read has them read again from its answers, by the language's reader
and the options in the logged question. That has to agree with the scores of the row; otherwise it counts as
not readable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ndino.languages.answers import reader
from ndino.languages.language import code_of_task
from ndino.results import statistics
from ndino.results.comparison import rounded, significant
from ndino.results.logs import LoggedSample, TaskLog
from ndino.results.logs.question_groups import LETTERS, options_in
from ndino.results.statistics import Clusters


def letter_bias(log: TaskLog) -> dict[str, Any] | None:
    """How often each letter was answered and was right; None for a task that is no multiple choice.

    Of the answers that could be read, the entry holds for each letter ``answered`` and ``right`` (how many),
    the ``difference`` of these shares with its 95 % ``interval``, and ``p`` of the sign-flip test, both over
    images; and beside ``letters`` the numbers of ``read`` and ``unreadable`` answers.
    """
    code = code_of_task(log.path.stem)
    if code is None or not all({"robust", "unparseable"} <= each.metrics.keys() for each in log.samples):
        return None
    pairs = [_read(sample, code) for sample in log.samples]
    if any(right is None for _, right in pairs):
        return None
    rows = [row for row, (said, _) in enumerate(pairs) if said is not None]
    images = None if log.images is None else Clusters.of([int(log.images.codes[row]) for row in rows])
    said, right = ([pairs[row][side] for row in rows] for side in (0, 1))
    return {
        "read": len(rows),
        "unreadable": len(pairs) - len(rows),
        "letters": {
            letter: _letter([each == letter for each in said], [each == letter for each in right], images)
            for letter in sorted({letter for letter in (*said, *right) if letter})
        },
    }


def _letter(said: Sequence[bool], right: Sequence[bool], images: Clusters | None) -> dict[str, Any]:
    test = statistics.image_test(said, right, images)
    interval = statistics.difference_interval(said, right, images)
    return {
        "answered": int(sum(said)),
        "right": int(sum(right)),
        "difference": rounded((sum(said) - sum(right)) / len(said)),
        "interval": [*map(rounded, interval)],
        "p": significant(test.p),
    }


def _read(sample: LoggedSample, code: str) -> tuple[str | None, str | None]:
    """The letter that an answer names and the right one; None where none can be read."""
    if sample.letter is not None:
        both = (sample.letter, str(sample.target))
        said, right = (each if each in tuple(LETTERS) else None for each in both)
        return said, right
    options = options_in(sample.question)
    ways = [("".join(options), options)] if options else []
    wanted = None
    for letters, choices in (*ways, (LETTERS, None)):
        said, right = (
            reader(code).letter(text, letters, choices) for text in (sample.answer, str(sample.target))
        )
        wanted = wanted or right
        scored = {"robust": float(said is not None and said == right), "unparseable": float(said is None)}
        if right and all(sample.metrics[metric] == score for metric, score in scored.items()):
            return said, right
    return None, wanted


def correct_for_all(models: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> None:
    """Give each letter its ``p_holm``, corrected over all letters and models of its task."""
    for task in {task for entries in models.values() for task in entries}:
        found = [
            letter
            for entries in models.values()
            if task in entries and entries[task]["letters"]
            for letter in entries[task]["letters"]["letters"].values()
        ]
        for letter, p_holm in zip(found, statistics.holm([each["p"] for each in found]), strict=True):
            letter["p_holm"] = significant(p_holm)
