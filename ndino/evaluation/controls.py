"""The controls of a task: its questions asked again with other images. Names of them and of their logs."""

from __future__ import annotations

import re
from collections.abc import Iterable

# No control: every question with its own image.
RIGHT = ""
BLANK = "blank"
SHUFFLED = "shuffled"
_NAME = rf"{SHUFFLED}(?:-[\w-]+)?|{BLANK}"


def controls_of(shuffles: int, blank: bool) -> list[str]:
    """The names of the first ``shuffles`` exchanges of images and, if asked for, of the blank images."""
    numbered = [f"{SHUFFLED}-{number}" for number in range(2, shuffles + 1)]
    return [SHUFFLED, *numbered][:shuffles] + [BLANK] * blank


def shuffle_number(control: str) -> int:
    """Which exchange of images a control shows, from 1 (see `shuffle.py`); 0 for the right or blank ones."""
    if control == SHUFFLED:
        return 1
    _, _, number = control.partition(f"{SHUFFLED}-")
    return int(number or 0)


def log_name(task: str, control: str) -> str:
    """The file that holds the answers of a task, or of one of its controls."""
    return f"{task}.{control}.jsonl" if control else f"{task}.jsonl"


def controls_among(names: Iterable[str], task: str) -> list[str]:
    """The controls of a task that have a log among these files' names."""
    log = re.compile(rf"{re.escape(task)}\.({_NAME})\.jsonl")
    return [found[1] for name in sorted(names) if (found := log.fullmatch(name))]
