"""The line that a benchmark ends with: its result as JSON, and what it was measured on."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any


def print_result(
    name: str,
    *,
    ratio: Any,
    goal: Any,
    equal: bool,
    conditions: Mapping[str, Any],
    packages: Sequence[str] = ("torch", "transformers"),
    more: Mapping[str, Any] | None = None,
) -> None:
    """Print the result of a benchmark, with the versions, the machine and its load.

    Args:
        ratio, goal: a number, or numbers by the parts of the benchmark, as ``benchmarks.bench`` reads them.
        equal: whether both sides gave the same results.
        conditions: what was measured, and how much of it.
        packages: those whose version can change the result.
        more: further keys of the line.
    """
    machine = {
        **{package: version(package) for package in packages},
        "python": platform.python_version(),
        "machine": platform.machine(),
        # Other work slows wall-clock times most, but CPU seconds too: caches and memory are shared.
        "load": round(os.getloadavg()[0], 1),
        "cores": len(os.sched_getaffinity(0)),
    }
    result = {"name": name, "ratio": ratio, "goal": goal, "equal": equal}
    # At once: a benchmark of several parts may run for minutes behind its first.
    print(json.dumps({**result, **(more or {}), "conditions": {**conditions, **machine}}), flush=True)
